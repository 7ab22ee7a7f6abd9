//! The speech recogniser: Whisper tiny.en in a Python virtual environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{output, python_environment, workspace_root};

/// Returns the Python to run the recogniser with: `requested`, or that of the default environment.
pub(super) fn python(requested: Option<&Path>) -> Result<PathBuf> {
    python_environment(requested, "listen-venv", "xtask/listen/requirements.txt")
}

/// Returns one transcript for each recording.
pub(super) fn transcribe(python: &Path, recordings: &[&Path]) -> Result<Vec<String>> {
    let script = workspace_root().join("xtask/listen/transcribe.py");
    // `-B`: Python writes no bytecode beside the script.
    let transcripts = output(Command::new(python).arg("-B").arg(script).args(recordings))?;
    let transcripts: Vec<String> = serde_json::from_str(&transcripts)
        .context("the recogniser's output is not a JSON array of strings")?;
    ensure!(
        transcripts.len() == recordings.len(),
        "the recogniser returned {} transcripts for {} recordings",
        transcripts.len(),
        recordings.len()
    );
    Ok(transcripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_environment_is_reported_with_the_commands_that_create_it() {
        let error = python(Some(Path::new("nowhere/venv/bin/python"))).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("nowhere/venv/bin/python does not exist"),
            "{error}"
        );
        assert!(error.contains("python3 -m venv nowhere/venv\n"), "{error}");
    }
}
