//! Python environments with the packages that some checks need; `.ci/run` creates them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Returns `requested`, or the Python of an environment in the user's cache folder.
///
/// # Errors
///
/// The environment does not exist: the message contains the commands that create it.
pub(crate) fn environment(
    requested: Option<&Path>,
    name: &str,
    requirements: &str,
) -> Result<PathBuf> {
    let python = match requested {
        Some(path) => path.to_owned(),
        None => cache_folder()?
            .join("pocket-tts")
            .join(name)
            .join("bin/python"),
    };
    if !python.is_file() {
        let environment = python.ancestors().nth(2).unwrap_or(&python).display();
        bail!(
            "{} does not exist; to create it, run:\n  \
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
