//! Errors of audio.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cancel::Cancelled;

/// Audio cannot be read, written, resampled or used as a voice prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// An audio file cannot be opened or read.
    #[error("cannot read the audio file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file is damaged, or its format is not supported.
    #[error(
        "cannot decode the audio file {}: {problem}; supported are WAV (PCM or float), FLAC, MP3 and \
         OGG Vorbis: convert the file to one of these, or export it again if it is damaged",
        path.display()
    )]
    Decode {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// An audio file is longer than the limit.
    #[error(
        "the audio file {} is longer than the limit of {} seconds: shorten it, a voice prompt needs at \
         most 30 seconds",
        path.display(),
        limit.as_secs_f64()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The longest accepted duration.
        limit: Duration,
    },
    /// A sample rate is out of range.
    #[error(
        "{context}: a sample rate of {rate_hz} Hz is not supported; use one from {min_hz} to {max_hz} Hz"
    )]
    SampleRate {
        /// The operation or the file.
        context: String,
        /// The sample rate.
        rate_hz: u32,
        /// The lowest supported rate.
        min_hz: u32,
        /// The highest supported rate.
        max_hz: u32,
    },
    /// Audio cannot be used as a voice prompt.
    #[error("the audio cannot be used as a voice prompt: {problem}")]
    VoicePrompt {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Audio cannot be written.
    #[error("cannot write audio to {target}")]
    Write {
        /// The file, or a description of the stream.
        target: String,
        /// The system's error.
        source: io::Error,
    },
    /// The caller cancelled the operation.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The audio is longer than the 32-bit lengths of a WAV file can express.
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
