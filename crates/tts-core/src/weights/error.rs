//! Errors of weights files.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a weights file or of another safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A file cannot be opened, read or mapped.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What failed, as in "read weights".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file is not a usable safetensors file.
    #[error("{} is not a usable safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights do not fit their config.
    #[error(
        "the weights in {} do not fit the config: {mismatch}; is this the weights file of another model?",
        display(paths)
    )]
    Mismatch {
        /// The weights files.
        paths: Vec<PathBuf>,
        /// The differences.
        mismatch: Box<WeightMismatch>,
    },
    /// A token is not in the model's embedding table.
    #[error(
        "token {token} is not in the model's embedding table of {rows} rows; the tokenizer belongs to another model"
    )]
    TokenOutOfRange {
        /// The token.
        token: usize,
        /// Rows of the table.
        rows: usize,
    },
}

impl WeightsError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// The differences between weights and their config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightMismatch {
    /// Tensors that the model needs and the files lack.
    pub missing: Vec<String>,
    /// Tensors in the files that the model does not use.
    pub unexpected: Vec<String>,
    /// Tensors of another shape or type, with the expected and the found.
    pub wrong: Vec<String>,
}

impl WeightMismatch {
    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong.is_empty()
    }
}

impl std::fmt::Display for WeightMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Names shown per list. The file of another model differs in hundreds of tensors.
        const SHOWN: usize = 6;
        let lists = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("mis-shaped", &self.wrong),
        ];
        let mut first = true;
        for (title, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
            if !first {
                f.write_str("; ")?;
            }
            first = false;
            write!(f, "{} {title}: ", names.len())?;
            f.write_str(&names[..names.len().min(SHOWN)].join(", "))?;
            if names.len() > SHOWN {
                write!(f, " and {} more", names.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

fn display(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(" and ")
}
