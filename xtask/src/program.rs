//! The program `pocket-tts`, built as the README's first command builds it.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::shell::{cargo, output};

/// Builds it with these features beside its usual ones, and returns where it is.
///
/// # Errors
///
/// It does not compile.
pub(crate) fn build(features: &[&str]) -> Result<PathBuf> {
    let mut build = cargo("build --release --package pocket-tts-cli --bin pocket-tts");
    build.args(["--message-format", "json-render-diagnostics"]);
    if !features.is_empty() {
        build.arg("--features").arg(features.join(","));
    }
    let messages = output(&mut build)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "pocket-tts")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo built no program named pocket-tts")
}
