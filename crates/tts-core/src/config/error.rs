//! Errors of configs.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A config file cannot be read, or does not describe a valid model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be opened or read.
    #[error("cannot read the config file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// The text is not a single YAML mapping: a syntax error, not UTF-8, empty or too large.
    #[error("{at}: {problem}")]
    Syntax {
        /// The position of the error.
        at: Position,
        /// What is wrong.
        problem: String,
    },

    /// A key that configs do not have.
    #[error(
        "{at}: unknown key `{key}`{}; allowed here: {}",
        nearest.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default(),
        allowed.join(", "),
    )]
    UnknownKey {
        /// The position of the key.
        at: Position,
        /// The key with its path, as in `mimi.seanet.ratio`.
        key: String,
        /// The allowed key with the most similar spelling.
        nearest: Option<String>,
        /// The keys that are allowed in this section.
        allowed: Vec<&'static str>,
    },

    /// A required key is missing.
    #[error("{at}: the key `{key}` is missing; it must be {allowed}")]
    MissingKey {
        /// The position of the section that lacks the key.
        at: Position,
        /// The key with its path, as in `mimi.seanet.ratios`.
        key: String,
        /// The values that are allowed.
        allowed: String,
    },

    /// A value has the wrong type, is out of range, or conflicts with another value.
    #[error("{at}: `{key}` is {found}; it must be {allowed}")]
    Value {
        /// The position of the value.
        at: Position,
        /// The key with its path, as in `mimi.seanet.ratios`.
        key: String,
        /// The value.
        found: String,
        /// The values that are allowed.
        allowed: String,
    },
}

/// A position in a file, displayed as `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file, or the name given for a text.
    pub file: PathBuf,
    /// The line, counted from 1; `None` if it is unknown.
    pub line: Option<u64>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        self.line.iter().try_for_each(|line| write!(f, ":{line}"))
    }
}
