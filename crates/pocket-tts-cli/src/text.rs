//! Reads the text to speak.

use std::fs::File;
use std::io::{self, IsTerminal, Read};

use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::args::{Cli, SpeechArgs};

/// Maximum bytes of a text: weeks of speech, and small compared to any memory.
const MAX_BYTES: u64 = 16 << 20;

/// Reads the text to speak.
pub(crate) fn read(args: &SpeechArgs) -> Result<String> {
    if let Some(path) = &args.file
        && path.as_os_str() != "-"
    {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot read the text file {name}"))?;
        // Exact, so that the text is in memory once. A pipe has no length.
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        return decode(file, bytes.min(MAX_BYTES) as usize, &name);
    }
    match args.words.as_ref().or(args.text.as_ref()) {
        Some(text) if text != "-" => return Ok(text.clone()),
        None if args.file.is_none() && io::stdin().is_terminal() => bail!(Cli::command().error(
            ErrorKind::MissingRequiredArgument,
            "there is no text: pass it as an argument, with --text or --file, or pipe it in",
        )),
        _ => {}
    }
    decode(io::stdin(), 0, "standard input")
}

/// Reads a text of about `expected_bytes`; `name` identifies it in messages.
fn decode(reader: impl Read, expected_bytes: usize, name: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(expected_bytes);
    reader
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_byte_order_mark() {
        let text = decode("\u{feff}Hi. \u{feff}".as_bytes(), 4, "a file").unwrap();
        assert_eq!(text, "Hi. \u{feff}");
    }
}
