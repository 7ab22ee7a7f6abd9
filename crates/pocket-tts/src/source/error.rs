//! Errors of model sources and voice names.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use tts_core::ErrorKind;

#[cfg(feature = "hub")]
use crate::hub::HubError;
use crate::location::LocationError;
use crate::preset::UnknownName;

/// A model or a voice could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A local file does not exist or cannot be read.
    #[error("cannot open {}", path.display())]
    LocalFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// A file has to be downloaded, and this build has no downloads.
    #[error(
        "{location} has to be downloaded, and this program was built without downloads; build it \
         with the feature `hub`, or pass the path of a local copy"
    )]
    NoDownloads {
        /// The file.
        location: String,
    },

    /// A text is not a location of a file.
    #[error(transparent)]
    Location(#[from] LocationError),

    /// The value of a key in a config file is not a valid location.
    #[error("{}: `{key}` is not a valid location", file.display())]
    ConfigLocation {
        /// The config file.
        file: PathBuf,
        /// The key with its path, as in `flow_lm.weights_path`.
        key: &'static str,
        /// What is wrong with it.
        source: LocationError,
    },

    /// No released model or predefined voice has that name.
    #[error(transparent)]
    Name(#[from] UnknownName),

    /// A config names no weights.
    #[error(
        "the config of {model} names no weights; add `weights_path`, or both \
         `flow_lm.weights_path` and `mimi.weights_path`"
    )]
    NoWeights {
        /// The model, as it appears in messages.
        model: String,
    },

    /// A voice is neither a known name nor a file.
    #[error(
        "no voice is named {name:?} and there is no such file; {model} accepts {}a recording (WAV, \
         FLAC, MP3 or OGG) or a .safetensors voice made for it, each as a path or as an https:// or \
         hf:// address",
        if known.is_empty() { String::new() } else { format!("the names {}, ", known.join(", ")) },
    )]
    UnknownVoice {
        /// The requested voice.
        name: String,
        /// The model, as it appears in messages.
        model: String,
        /// The model's voice names.
        known: Vec<String>,
    },

    /// A predefined voice of the released models was requested from another model.
    #[error(
        "the voice {name:?} was made for the released models and does not fit {model}; load a \
         released model, such as \"english\", or use a recording of the speaker{}",
        if known.is_empty() {
            String::new()
        } else {
            format!(" or a voice of this model: {}", known.join(", "))
        },
    )]
    VoiceOfReleasedModels {
        /// The requested voice.
        name: String,
        /// The model, as it appears in messages.
        model: String,
        /// The model's voice names.
        known: Vec<String>,
    },
}

impl SourceError {
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::LocalFile { source, .. } => ErrorKind::of_io(source),
            Self::NoDownloads { .. } | Self::Name(_) | Self::UnknownVoice { .. } => {
                ErrorKind::NotFound
            }
            Self::Location(_)
            | Self::ConfigLocation { .. }
            | Self::NoWeights { .. }
            | Self::VoiceOfReleasedModels { .. } => ErrorKind::BadInput,
        }
    }
}

/// A model's files could not be found or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Core(#[from] tts_core::Error),
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl From<tts_core::config::ConfigError> for OpenError {
    fn from(error: tts_core::config::ConfigError) -> Self {
        Self::Core(error.into())
    }
}

impl From<tts_core::WeightsError> for OpenError {
    fn from(error: tts_core::WeightsError) -> Self {
        Self::Core(error.into())
    }
}

/// Formats an error with all its sources, for logs.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(message, ": {error}");
        source = error.source();
    }
    message
}
