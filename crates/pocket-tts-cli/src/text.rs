//! Reads the text to speak.

use std::fs::File;
use std::io::{self, IsTerminal, Read};

use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::args::{Cli, SpeechArgs};

/// Maximum bytes of a text: weeks of speech, and small compared to any memory.
const MAX_BYTES: u64 = 16 << 20;

/// Bytes that are read at once from a pipe.
const BLOCK_BYTES: u64 = 64 << 10;

/// Reads the text to speak. A file takes the memory of its text, a pipe at most twice that while it is read.
pub(crate) fn read(args: &SpeechArgs) -> Result<String> {
    if let Some(path) = &args.file
        && path.as_os_str() != "-"
    {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot read the text file {name}"))?;
        // One byte more, to find the end of the file.
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        return decode(file, &name, BLOCK_BYTES.max(length + 1));
    }
    match args.words.as_ref().or(args.text.as_ref()) {
        Some(text) if text != "-" => return Ok(text.clone()),
        None if args.file.is_none() && io::stdin().is_terminal() => bail!(Cli::command().error(
            ErrorKind::MissingRequiredArgument,
            "there is no text: pass it as an argument, with --text or --file, or pipe it in",
        )),
        _ => {}
    }
    decode(io::stdin(), "standard input", BLOCK_BYTES)
}

/// Reads a text. One that is shorter than `first_bytes` is not copied.
fn decode(reader: impl Read, name: &str, first_bytes: u64) -> Result<String> {
    let bytes = read_blocks(reader.take(MAX_BYTES + 1), first_bytes)
        .with_context(|| format!("cannot read the text from {name}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!(
            "the text from {name} is longer than {} MiB; split it into several texts",
            MAX_BYTES >> 20
        );
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        anyhow::anyhow!(
            "the text from {name} is not UTF-8: byte {} is invalid; convert it to UTF-8 first",
            error.utf8_error().valid_up_to() + 1
        )
    })?;
    // Some editors write a byte order mark.
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

fn read_blocks(mut reader: impl Read, first_bytes: u64) -> io::Result<Vec<u8>> {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut block_bytes = first_bytes.clamp(1, MAX_BYTES + 2);
    loop {
        let mut block = Vec::with_capacity(block_bytes as usize);
        let mut rest = reader.by_ref().take(block_bytes);
        rest.read_to_end(&mut block)?;
        let is_last = rest.limit() > 0;
        if is_last && blocks.is_empty() {
            return Ok(block);
        }
        blocks.push(block);
        if is_last {
            return Ok(blocks.concat());
        }
        block_bytes = BLOCK_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_byte_order_mark() {
        let text = decode("\u{feff}Hi. \u{feff}".as_bytes(), "a file", 64).unwrap();
        assert_eq!(text, "Hi. \u{feff}");
    }

    #[test]
    fn text_does_not_depend_on_the_size_of_blocks() {
        let text = "Some words, and é.";
        for first_bytes in [0, 1, 7, 19, 20, 1000] {
            let read = decode(text.as_bytes(), "a pipe", first_bytes).unwrap();
            assert_eq!(read, text, "{first_bytes}");
        }
        let long = text.repeat(10_000);
        let first_bytes = long.len() as u64 + 1;
        let read = decode(long.as_bytes(), "a file", first_bytes).unwrap();
        assert!(read == long && read.capacity() == long.len() + 1);
        let read = decode(long.as_bytes(), "a pipe", BLOCK_BYTES).unwrap();
        assert!(read == long && read.capacity() == long.len());
    }
}
