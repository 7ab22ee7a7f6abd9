//! The standard output.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;
use serde::Serialize;

/// Prints lines for the reader of the standard output, who may have left.
pub(crate) fn print(lines: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(lines.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON, one line.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}
