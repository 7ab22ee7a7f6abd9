//! The crate's error type, which collects those of its modules.

use std::io;

use crate::audio::AudioError;
use crate::cancel::Cancelled;
use crate::config::ConfigError;
use crate::device::DeviceError;
use crate::ledger::MemoryError;
use crate::text::TextError;
use crate::threads::ThreadsError;
use crate::voice::VoiceError;
use crate::weights::WeightsError;

/// An error of this crate.
///
/// `Display` does not repeat the [source](std::error::Error::source): print the whole chain to show
/// every cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A config cannot be read or is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Audio cannot be read, written or used.
    #[error(transparent)]
    Audio(AudioError),
    /// A text or a tokenizer.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A weights file, or a token that is not in the model's vocabulary.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A voice cannot be read, written or cloned.
    #[error(transparent)]
    Voice(#[from] VoiceError),
    /// A device cannot be used, or failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The compute threads cannot be started.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    /// A memory limit or an allocation.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A setting that is out of range.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// A stream's threads.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The caller cancelled the operation.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The size of the tokenizer's vocabulary does not match the config.
    #[error(
        "the tokenizer has {found} pieces and the config's flow_lm.lookup_table.n_bins is {expected}; it belongs to another model"
    )]
    VocabularyMismatch {
        /// Pieces of the tokenizer.
        found: usize,
        /// Pieces that the config specifies.
        expected: usize,
    },
}

/// A setting that is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {found}; it must be {allowed}")]
pub struct InvalidSetting {
    /// The setting.
    pub name: &'static str,
    /// Its value.
    pub found: String,
    /// The allowed values.
    pub allowed: &'static str,
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a stream's threads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A thread cannot be started.
    #[error(
        "cannot start a thread for the {purpose}: raise the system's limits on threads and memory (`ulimit \
         -u`, `-v` and `-d`)"
    )]
    Thread {
        /// The purpose of the thread.
        purpose: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A thread panicked: a bug in this crate.
    #[error(
        "internal error: a thread of the stream panicked; please report this with the text and the options"
    )]
    Panicked,
    /// The model returned fewer rows than the batch has segments: a bug in this crate.
    #[error("internal error: a batch has fewer rows than segments")]
    MissingRow,
}

impl From<AudioError> for Error {
    fn from(error: AudioError) -> Self {
        match error {
            AudioError::Cancelled(cancelled) => Self::Cancelled(cancelled),
            error => Self::Audio(error),
        }
    }
}

impl From<tensor_pool::Error> for Error {
    fn from(error: tensor_pool::Error) -> Self {
        MemoryError::from(error).into()
    }
}

/// A coarse classification of errors, for callers that react to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A text, a setting or a file is invalid.
    BadInput,
    /// A file does not exist.
    NotFound,
    /// Access to a file was denied.
    NoAccess,
    /// A memory limit, or the system's memory, is too small.
    OutOfMemory,
    /// The caller or the user ended the operation.
    Cancelled,
    /// The system, the device or this crate failed.
    Internal,
}

impl ErrorKind {
    /// Classifies an error of the system.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::NoAccess,
            io::ErrorKind::OutOfMemory => Self::OutOfMemory,
            // The reader of a pipe has closed it.
            io::ErrorKind::BrokenPipe => Self::Cancelled,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Self::BadInput,
            _ => Self::Internal,
        }
    }
}

impl Error {
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Memory(_) => ErrorKind::OutOfMemory,
            Self::Cancelled(_) => ErrorKind::Cancelled,
            Self::Weights(WeightsError::Io { source, .. })
            | Self::Voice(
                VoiceError::File(WeightsError::Io { source, .. })
                | VoiceError::Write { source, .. },
            )
            | Self::Config(ConfigError::Read { source, .. })
            | Self::Audio(AudioError::Read { source, .. } | AudioError::Write { source, .. }) => {
                ErrorKind::of_io(source)
            }
            Self::Stream(_)
            | Self::Threads(ThreadsError::Start(_))
            | Self::Device(DeviceError::Failed(_))
            | Self::Voice(VoiceError::Device(DeviceError::Failed(_))) => ErrorKind::Internal,
            _ => ErrorKind::BadInput,
        }
    }

    /// Returns a limit in MB (1,048,576 bytes) that is sufficient, if a memory limit was too low.
    #[must_use]
    pub fn sufficient_limit_mb(&self) -> Option<u64> {
        match self {
            Self::Memory(error) => error.sufficient_limit_mb(),
            _ => None,
        }
    }
}
