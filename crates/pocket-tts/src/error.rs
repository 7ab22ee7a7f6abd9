//! The crate's one error type.

use std::path::PathBuf;

use tts_core::config::Location;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model, or a file that it is made of.
    #[error(transparent)]
    Core(#[from] tts_core::Error),

    /// No batch size can be chosen.
    #[error(transparent)]
    Plan(#[from] batch_planner::Error),

    /// A voice that is neither known by its name nor a file.
    #[error(
        "no voice is called {name:?} and there is no such file; {model} speaks with {}, with a \
         recording (WAV, FLAC, MP3 or OGG), or with a .safetensors voice made for it, each a path or \
         an https:// or hf:// address",
        if known.is_empty() { "no voice by name".to_owned() } else { known.join(", ") },
    )]
    UnknownVoice {
        /// What was asked for.
        name: String,
        /// The model, as messages call it.
        model: String,
        /// The names that it knows.
        known: Vec<String>,
    },

    /// A predefined voice of the released models, asked of another model.
    #[error(
        "the voice {name:?} was made for the released models and does not fit {model}; load one of \
         those, such as \"english\", or give this model a recording of the speaker{}",
        known.first().map(|_| format!(", or one of its own voices: {}", known.join(", "))).unwrap_or_default(),
    )]
    VoiceOfReleasedModels {
        /// The voice.
        name: String,
        /// The model, as messages call it.
        model: String,
        /// The names that it knows.
        known: Vec<String>,
    },

    /// No voice was named, and the one that is then made of a recording cannot be had.
    #[error(
        "{model} has no voice of its own, and the usual one cannot be cloned for it: {source}; name \
         a recording or a .safetensors voice instead"
    )]
    DefaultVoice {
        /// The model, as messages call it.
        model: String,
        /// What stopped it.
        source: Box<Error>,
    },

    /// A config that says nothing about where its weights are.
    #[error(
        "{model} names no weights; add `weights_path`, or both `flow_lm.weights_path` and \
         `mimi.weights_path`"
    )]
    NoWeights {
        /// The model, as messages call it.
        model: String,
    },

    /// A local file that does not exist or cannot be looked at.
    #[error("cannot open {}: {source}", path.display())]
    LocalFile {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },

    /// A file that would have to be downloaded, in a build that cannot.
    #[error(
        "{location} would have to be downloaded, and this program was built without downloads; \
         build it with the feature `hub`, or give the path of a local copy"
    )]
    NoDownloads {
        /// The file.
        location: Location,
    },

    /// A file that would have to be downloaded, with downloads switched off.
    #[error("{location} is not on this machine yet, and downloads are off; {way_out}")]
    Offline {
        /// The file.
        location: Location,
        /// How to get it.
        way_out: String,
    },

    /// A file that is not open to everyone.
    #[error(
        "no access to {location} ({}): accept the terms at {page}, then log in with `hf auth login` \
         or set the environment variable HF_TOKEN",
        if *token_sent { "the access token was refused" } else { "no access token was sent" },
    )]
    AccessDenied {
        /// The file.
        location: Location,
        /// The page where access is given.
        page: String,
        /// Whether a token was sent.
        token_sent: bool,
    },

    /// A file, revision or repository that the server does not have.
    #[error("{location} does not exist: {problem}")]
    NotFound {
        /// The file.
        location: Location,
        /// Which part of it does not exist.
        problem: String,
    },

    /// A download that failed.
    #[error("cannot download {location}: {problem}")]
    Download {
        /// The file.
        location: Location,
        /// What happened, and what to do.
        problem: String,
    },

    /// A file in the cache of downloads that cannot be written or read.
    #[error("cannot keep {location} in the cache at {}: {}", path.display(), storage_problem(source))]
    Cache {
        /// The file that was to be kept.
        location: Location,
        /// Where.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },

    /// An environment variable with a value that it may not have.
    #[error("the environment variable {variable} is {value:?}; set it to {allowed}, or unset it")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        allowed: &'static str,
    },

    /// Memory settings are in force already.
    #[error(
        "memory settings are in force already: there is one `memory::Session` at a time; drop it or \
         call its `finish` before the next `memory::init`"
    )]
    SessionOpen,

    /// A recording of memory, or a file that it leaves, cannot be written.
    #[error("cannot record memory to {}: {}", path.display(), recording_problem(source))]
    ProfileFile {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },

    /// Memory cannot be watched.
    #[error("cannot watch memory: {0}")]
    Monitor(#[source] mem_monitor::Error),

    /// No folder to keep downloads in is known.
    #[error(
        "cannot keep {location}: this user has no home folder; set the environment variable HF_HOME \
         to a folder for downloads"
    )]
    NoCacheFolder {
        /// The file that was to be kept.
        location: Location,
    },
}

fn storage_problem(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let way_out = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space, or set HF_HOME to a folder on another disk (what was downloaded is kept)"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; set HF_HOME to a folder that may be written"
        }
        _ => "",
    };
    format!("{error}{way_out}")
}

fn recording_problem(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let way_out = match error.kind() {
        ErrorKind::NotFound => "; create the folder, or choose another one (`profile_dir`)",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space, or choose a folder on another disk (`profile_dir`)"
        }
        _ => "; choose a folder that may be written (`profile_dir`)",
    };
    format!("{error}{way_out}")
}

impl From<mem_monitor::Error> for Error {
    fn from(error: mem_monitor::Error) -> Self {
        match error {
            mem_monitor::Error::Write { path, source } => Self::ProfileFile { path, source },
            mem_monitor::Error::Exists { path } => Self::ProfileFile {
                path,
                source: std::io::ErrorKind::AlreadyExists.into(),
            },
            other => Self::Monitor(other),
        }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_recording_that_cannot_be_written_is_told_with_the_way_out() {
        let message = |kind: io::ErrorKind| {
            let error = mem_monitor::Error::Write {
                path: "somewhere/mprofile_1.dat".into(),
                source: kind.into(),
            };
            Error::from(error).to_string()
        };
        for (kind, way_out) in [
            (io::ErrorKind::StorageFull, "free some space"),
            (io::ErrorKind::NotFound, "create the folder"),
            (io::ErrorKind::PermissionDenied, "may be written"),
        ] {
            let message = message(kind);
            assert!(
                message.contains("somewhere") && message.contains(way_out),
                "{message}"
            );
        }
    }
}
