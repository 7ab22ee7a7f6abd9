//! The crate's error type, which collects those of its modules.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::ledger::MemoryError;
use crate::scheduler::StreamError;
use crate::text::TextError;

use crate::device::DeviceError;
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
    /// The computing threads cannot be started.
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
    /// A tokenizer whose vocabulary the config does not expect.
    #[error(
        "the tokenizer has {found} pieces and the config's flow_lm.lookup_table.n_bins is {expected}; it belongs to another model"
    )]
    VocabularyMismatch {
        /// Pieces of the tokenizer.
        found: usize,
        /// Pieces that the config asks for.
        expected: usize,
    },
    /// A config file that cannot be opened or read.
    #[error("cannot read the config file {}", path.display())]
    ConfigUnreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },

    /// A config file that is no YAML mapping: a syntax error, not UTF-8, empty, too large.
    #[error("{}{}: {problem}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    ConfigSyntax {
        /// The file.
        file: PathBuf,
        /// The line of the problem, counted from 1, where one line can be named.
        line: Option<usize>,
        /// What is wrong, and what is expected instead.
        problem: String,
    },

    /// A key that a config file does not have.
    #[error(
        "{}: unknown key `{key}`{}; allowed here: {}",
        file.display(),
        nearest.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default(),
        allowed.join(", "),
    )]
    ConfigUnknownKey {
        /// The file.
        file: PathBuf,
        /// The key with its path, as in `mimi.seanet.ratio`.
        key: String,
        /// The known key that is spelled most alike.
        nearest: Option<String>,
        /// The keys allowed in that section.
        allowed: Vec<String>,
    },

    /// A key that a config file must have, and does not.
    #[error("{}: the key `{key}` is missing; it must be {allowed}", file.display())]
    ConfigMissingKey {
        /// The file.
        file: PathBuf,
        /// The key with its path, as in `mimi.seanet.ratios`.
        key: String,
        /// What its value may be.
        allowed: String,
    },

    /// A config value of the wrong kind, out of range, or in conflict with another.
    #[error("{}: `{key}` is {found}; it must be {allowed}", file.display())]
    ConfigValue {
        /// The file.
        file: PathBuf,
        /// The key with its path, as in `mimi.seanet.ratios`.
        key: String,
        /// The value found.
        found: String,
        /// What it may be.
        allowed: String,
    },

    /// An audio file could not be opened or read.
    #[error("cannot read the audio file {}", path.display())]
    AudioRead {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not audio of a kind that is read here, or it is damaged.
    #[error(
        "cannot decode the audio file {}: {problem}; WAV (PCM or float), FLAC, MP3 and OGG Vorbis are read: \
         convert the file to one of these, or export it again if it is damaged",
        path.display()
    )]
    AudioDecode {
        /// The file.
        path: PathBuf,
        /// What was found, and what was expected.
        problem: String,
    },
    /// An audio file is longer than the caller is ready to hold.
    #[error(
        "the audio file {} is longer than the {} seconds that are read at most: cut it, \
         a voice prompt needs no more than 30 seconds",
        path.display(),
        limit.as_secs_f64()
    )]
    AudioTooLong {
        /// The file.
        path: PathBuf,
        /// The most that would have been read.
        limit: Duration,
    },
    /// A sample rate that no audio has.
    #[error(
        "{context}: a sample rate of {rate_hz} Hz is not supported; choose one from {min_hz} to {max_hz} Hz"
    )]
    SampleRate {
        /// What was being done, with which file if there was one.
        context: String,
        /// The rate found.
        rate_hz: u32,
        /// The lowest rate allowed.
        min_hz: u32,
        /// The highest rate allowed.
        max_hz: u32,
    },
    /// Audio cannot serve as a voice prompt.
    #[error("the audio cannot be used as a voice prompt: {problem}")]
    VoicePrompt {
        /// What is wrong with it, and what to do about it.
        problem: String,
    },
    /// Audio could not be written.
    #[error("cannot write audio to {target}")]
    AudioWrite {
        /// The file, or a description of the stream.
        target: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// More audio than the 32-bit lengths of a WAV file can express.
    #[error(
        "cannot write audio to {target}: a WAV file holds at most {max_samples} samples of 16 bits; \
         write several shorter files, or write to a pipe"
    )]
    WavTooLong {
        /// The file, or a description of the stream.
        target: String,
        /// The most samples that fit.
        max_samples: u64,
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
            Self::Weights(WeightsError::Io { source, .. })
            | Self::Voice(
                VoiceError::File(WeightsError::Io { source, .. })
                | VoiceError::Write { source, .. },
            )
            | Self::ConfigUnreadable { source, .. }
            | Self::AudioRead { source, .. }
            | Self::AudioWrite { source, .. } => ErrorKind::of_io(source),
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
