//! The crate's error type, which collects those of its modules.

use std::fmt::Write as _;

#[cfg(feature = "hub")]
use crate::hub::HubError;
use crate::memory::MemoryError;
use crate::source::SourceError;

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
    Memory(#[from] MemoryError),
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<tts_core::WeightsError> for Error {
    fn from(error: tts_core::WeightsError) -> Self {
        tts_core::Error::from(error).into()
    }
}

impl From<mem_monitor::Error> for Error {
    fn from(error: mem_monitor::Error) -> Self {
        MemoryError::from(error).into()
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let message = chain(&error);
        assert_eq!(message.matches("cannot open voice.wav").count(), 1);
        assert_eq!(message.matches("entity not found").count(), 1, "{message}");
    }
}
