//! Errors of memory settings, sessions and recordings.

use std::io;
use std::path::PathBuf;

use tts_core::ErrorKind;

/// Memory settings could not be applied, or a recording could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// An environment variable has an invalid value.
    #[error("the environment variable {variable} is {value:?}; set it to {allowed}, or unset it")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The valid values.
        allowed: &'static str,
    },

    /// The limit is 0 bytes.
    #[error("the memory limit is 0 bytes; set at least 1 byte, or no limit")]
    ZeroLimit,

    /// A session is already open.
    #[error(
        "memory settings are already applied: only one `memory::Session` can be open at a time; drop \
         it or call its `finish` before the next `memory::init`"
    )]
    SessionOpen,

    /// A recording, or a file made from it, cannot be written.
    #[error("cannot write the memory recording {}{}", path.display(), recording_remedy(source))]
    Recording {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// The memory monitor failed.
    #[error("cannot monitor memory")]
    Monitor(#[source] mem_monitor::Error),
}

impl SessionError {
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Variable { .. } | Self::ZeroLimit | Self::SessionOpen => ErrorKind::BadInput,
            Self::Recording { source, .. } => ErrorKind::of_io(source),
            Self::Monitor(_) => ErrorKind::Internal,
        }
    }
}

fn recording_remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "; create the folder, or set `profile_dir` to another one",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some disk space, or set `profile_dir` to a folder on another disk"
        }
        _ => "; set `profile_dir` to a writable folder",
    }
}

impl From<mem_monitor::Error> for SessionError {
    fn from(error: mem_monitor::Error) -> Self {
        match error {
            mem_monitor::Error::Write { path, source } => Self::Recording { path, source },
            mem_monitor::Error::Exists { path } => Self::Recording {
                path,
                source: io::ErrorKind::AlreadyExists.into(),
            },
            other => Self::Monitor(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_errors_name_the_file_and_a_remedy() {
        for (kind, remedy) in [
            (io::ErrorKind::StorageFull, "free some disk space"),
            (io::ErrorKind::NotFound, "create the folder"),
            (io::ErrorKind::PermissionDenied, "writable folder"),
        ] {
            let error = mem_monitor::Error::Write {
                path: "somewhere/mprofile_1.dat".into(),
                source: kind.into(),
            };
            let message = SessionError::from(error).to_string();
            assert!(
                message.contains("somewhere") && message.contains(remedy),
                "{message}"
            );
        }
    }
}
