//! The crate's one error type.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;

use crate::audio::Audio;

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or mapped.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "cannot read weights".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that should hold tensors does not.
    #[error("{} is not a usable safetensors file: {reason}", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights do not belong to their config.
    #[error(
        "the weights in {} do not fit the config: {mismatch}; is this the weights file of another model?",
        shown(paths)
    )]
    WeightMismatch {
        /// The weight files.
        paths: Vec<PathBuf>,
        /// What differs.
        mismatch: Box<WeightMismatch>,
    },
    /// A token that the model's embedding does not have: the tokenizer belongs to another model.
    #[error(
        "token {token} is not in the model's embedding table of {rows} rows; the tokenizer belongs to another model"
    )]
    TokenOutOfRange {
        /// The token.
        token: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// A voice cannot be used with this model.
    #[error("{} is not a voice for this model: {reason}", path.display())]
    NotAVoice {
        /// Where the voice came from.
        path: PathBuf,
        /// What differs, and what the model needs.
        reason: String,
    },
    /// There is no memory for what a stream has to remember.
    #[error("cannot keep the state of the speech: {0}")]
    Memory(#[from] tensor_pool::Error),
    /// A limit on memory leaves no room for a model, or for even one part of a text at a time.
    #[error(
        "{what} would take up to {} of memory, of which {} are in use already, and the limit is \
         {}: {} too little; a limit of {} MB would do",
        ByteSize::b(*needed_bytes),
        ByteSize::b(*present_bytes),
        ByteSize::b(*limit_bytes),
        ByteSize::b(needed_bytes.saturating_sub(*limit_bytes)),
        self.limit_that_would_do_mb().unwrap_or_default()
    )]
    MemoryLimitTooLow {
        /// What is too large for it.
        what: &'static str,
        /// The limit.
        limit_bytes: u64,
        /// The most that the process would hold.
        needed_bytes: u64,
        /// What it holds already.
        present_bytes: u64,
    },
    /// The limit on memory was exceeded while a text was spoken, because something else took memory.
    #[error(transparent)]
    MemoryLimitExceeded(Box<MemoryLimitExceeded>),
    /// The system has no memory for something large.
    #[error(
        "the system has no {} MiB of memory for {what}; free some, or speak a shorter text at a time",
        bytes.div_ceil(1 << 20)
    )]
    OutOfMemory {
        /// What it was for.
        what: &'static str,
        /// How much.
        bytes: u64,
    },
    /// A voice was to be made from audio, but the weights have no voice encoder.
    #[error("these weights cannot clone voices: {0}")]
    NoVoiceEncoder(String),
    /// A setting is outside what it may be.
    #[error("{name} is {found}; it must be {allowed}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it was.
        found: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A device that this build does not have or that the machine lacks.
    #[error("device {device} cannot be used: {reason}")]
    DeviceUnavailable {
        /// The device.
        device: &'static str,
        /// Why.
        reason: String,
    },
    /// The device failed while it computed.
    #[error("the device failed while computing: {0}")]
    Device(String),
    /// A thread could not be started.
    #[error("cannot start a thread for {purpose}: {source}")]
    Thread {
        /// What it was for.
        purpose: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread of a stream ended without a result; a bug in this crate.
    #[error("speech stopped because of an internal error: {0}")]
    Internal(String),
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
    #[error("cannot read the config file {}: {source}", path.display())]
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

    /// The text holds nothing that can be spoken.
    #[error(
        "there is nothing to say: the text is empty, or nothing is left of it once whitespace and \
         the characters this model deletes are taken away; give at least one word"
    )]
    EmptyText,

    /// A tokenizer file cannot be used.
    #[error("tokenizer `{}` cannot be used: {reason}", path.display())]
    InvalidTokenizer {
        /// The file, or the name its embedded bytes go by.
        path: PathBuf,
        /// What was found, what is expected, and the way out.
        reason: String,
    },

    /// A tokenizer that was loaded refused a text or a list of ids.
    #[error("tokenizer `{}` failed to {action}: {reason}", path.display())]
    Tokenize {
        /// The file, or the name its embedded bytes go by.
        path: PathBuf,
        /// `encode` or `decode`.
        action: &'static str,
        /// The tokenizer's own words.
        reason: String,
    },

    /// A token id that the vocabulary does not have.
    #[error(
        "token id {id} is not in the vocabulary of tokenizer `{}`, whose ids are 0 to {} \
         (ids come from `Tokenizer::encode` of the same tokenizer)", path.display(), vocab_size - 1
    )]
    UnknownTokenId {
        /// The file, or the name its embedded bytes go by.
        path: PathBuf,
        /// The id given.
        id: u32,
        /// The number of pieces in the vocabulary; at least one.
        vocab_size: usize,
    },

    /// An audio file could not be opened or read.
    #[error("cannot read the audio file {}: {source}", path.display())]
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
    #[error("cannot write audio to {target}: {source}")]
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

/// How far the speech came that exceeded a limit on memory.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{} of memory are in use and the limit is {}; the speech ends here{}: raise the \
     limit, or free what else the program holds",
    ByteSize::b(*counted_bytes),
    ByteSize::b(*limit_bytes),
    self.made()
)]
#[non_exhaustive]
pub struct MemoryLimitExceeded {
    /// The limit.
    pub limit_bytes: u64,
    /// What was in use when it was noticed, after what could be freed was freed.
    pub counted_bytes: u64,
    /// The audio so far, one for each text. A stream has handed its audio out before, so it has none
    /// here.
    pub audio: Vec<Audio>,
}

impl MemoryLimitExceeded {
    fn made(&self) -> String {
        if self.audio.is_empty() {
            return String::new();
        }
        let seconds = self
            .audio
            .iter()
            .map(|audio| audio.duration().as_secs_f64());
        format!(", {:.1} s of it are made", seconds.sum::<f64>())
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How weights differ from what a config asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightMismatch {
    /// Tensors that the model needs and the files lack.
    pub missing: Vec<String>,
    /// Tensors that the files hold and the model does not know.
    pub unexpected: Vec<String>,
    /// Tensors of another shape or type, with both.
    pub wrong: Vec<String>,
}

impl WeightMismatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong.is_empty()
    }
}

impl std::fmt::Display for WeightMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Names shown of each list; a wrong file differs in hundreds.
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

/// What the present memory use of a program may grow by, in things too small to be planned, before it
/// tries again with the limit that it was told would do.
const DRIFT_BYTES: u64 = 512 << 10;

impl Error {
    /// For [`Error::MemoryLimitTooLow`], a limit in MB (1,048,576 bytes) that would not be.
    #[must_use]
    pub fn limit_that_would_do_mb(&self) -> Option<u64> {
        match self {
            Self::MemoryLimitTooLow { needed_bytes, .. } => {
                Some(needed_bytes.saturating_add(DRIFT_BYTES).div_ceil(1 << 20))
            }
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn not_safetensors(path: &Path, reason: impl Into<String>) -> Self {
        Self::NotSafetensors {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

fn shown(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(" and ")
}
