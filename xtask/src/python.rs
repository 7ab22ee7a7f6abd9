//! Python environments with what some checks need; `.ci/run` makes them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The Python of an environment in the user's cache folder, or the one that was asked for.
///
/// # Errors
///
/// It is not there: the message says how to make it.
pub(crate) fn environment(asked: Option<&Path>, name: &str, requirements: &str) -> Result<PathBuf> {
    let python = match asked {
        Some(path) => path.to_owned(),
        None => cache_folder()?
            .join("pocket-tts")
            .join(name)
            .join("bin/python"),
    };
    if !python.is_file() {
        let environment = python.ancestors().nth(2).unwrap_or(&python).display();
        bail!(
            "there is no {}; to make it:\n  \
             python3 -m venv {environment}\n  \
             {environment}/bin/pip install -r {requirements}",
            python.display()
        );
    }
    Ok(python)
}

fn cache_folder() -> Result<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    folder("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| folder("HOME").map(|home| Path::new(&home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")
}
