//! The listener: Whisper tiny.en in a Python virtual environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::python::environment;
use crate::shell::{output, workspace_root};

/// The Python that has the recogniser: the one asked for, or that of the usual environment.
pub(super) fn python(asked: Option<&Path>) -> Result<PathBuf> {
    environment(asked, "listen-venv", "xtask/listen/requirements.txt")
}

/// What is heard in each file.
pub(super) fn transcribe(python: &Path, recordings: &[PathBuf]) -> Result<Vec<String>> {
    let script = workspace_root().join("xtask/listen/transcribe.py");
    // Nothing is to be left beside the script.
    let transcripts = output(Command::new(python).arg("-B").arg(script).args(recordings))?;
    let transcripts: Vec<String> =
        serde_json::from_str(&transcripts).context("the recogniser printed no list of texts")?;
    ensure!(
        transcripts.len() == recordings.len(),
        "the recogniser heard {} of {} recordings",
        transcripts.len(),
        recordings.len()
    );
    Ok(transcripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_recogniser_is_told_with_the_way_to_make_it() {
        let error = python(Some(Path::new("nowhere/venv/bin/python"))).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("no nowhere/venv/bin/python"), "{error}");
        assert!(error.contains("python3 -m venv nowhere/venv\n"), "{error}");
    }
}
