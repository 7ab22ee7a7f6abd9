//! The crate's error type, which collects those of its modules.

use tts_core::ErrorKind;

use crate::hub::HubError;
use crate::location::LocationError;
use crate::memory::SessionError;
use crate::preset::UnknownName;
#[cfg(feature = "hub")]
use crate::source::ModelSource;
use crate::source::{OpenError, SourceError};

/// An error of this crate.
///
/// `Display` does not repeat the [source](std::error::Error::source): print the whole chain to show
/// every cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine, or a file that it read.
    #[error(transparent)]
    Core(#[from] tts_core::Error),

    /// The search for a batch size.
    #[error(transparent)]
    Plan(#[from] batch_planner::Error),

    /// A download.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] HubError),

    /// A model's files, or a voice's name.
    #[error(transparent)]
    Source(#[from] SourceError),

    /// No voice was named, and the recording that is cloned by default is not usable.
    #[error(
        "{model} has no voice of its own, and the default recording cannot be cloned; use another \
         recording or a .safetensors voice"
    )]
    DefaultVoice {
        /// The model, as it appears in messages.
        model: String,
        /// Why the recording cannot be cloned.
        source: Box<Error>,
    },

    /// Memory settings, a session or a recording.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Error {
    /// Adds to an error of a config file's default voice that the model has no voice of its own.
    pub(crate) fn of_default_voice(model: &ModelSource, error: Self) -> Self {
        match model {
            ModelSource::Config(_) => Self::DefaultVoice {
                model: model.title(),
                source: Box::new(error),
            },
            _ => error,
        }
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Plan(batch_planner::Error::Infeasible(_)) => ErrorKind::OutOfMemory,
            Self::Plan(_) => ErrorKind::BadInput,
            #[cfg(feature = "hub")]
            Self::Hub(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::DefaultVoice { source, .. } => source.kind(),
            Self::Session(error) => error.kind(),
        }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<mem_monitor::Error> for Error {
    fn from(error: mem_monitor::Error) -> Self {
        SessionError::from(error).into()
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Core(error) => error.into(),
            #[cfg(feature = "hub")]
            OpenError::Hub(error) => error.into(),
            OpenError::Source(error) => error.into(),
        }
    }
}

impl From<tts_core::audio::AudioError> for Error {
    fn from(error: tts_core::audio::AudioError) -> Self {
        Self::Core(error.into())
    }
}

impl From<LocationError> for Error {
    fn from(error: LocationError) -> Self {
        SourceError::from(error).into()
    }
}

impl From<UnknownName> for Error {
    fn from(error: UnknownName) -> Self {
        SourceError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::chain;

    #[test]
    fn each_message_of_a_chain_appears_once() {
        let missing = SourceError::LocalFile {
            path: "voice.wav".into(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let error = Error::DefaultVoice {
            model: "the model of a.yaml".to_owned(),
            source: Box::new(missing.into()),
        };
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let message = chain(&error);
        assert_eq!(message.matches("cannot open voice.wav").count(), 1);
        assert_eq!(message.matches("entity not found").count(), 1, "{message}");
    }
}
