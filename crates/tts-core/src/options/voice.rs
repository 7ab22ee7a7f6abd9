//! Options of making a voice.

use crate::audio::PromptLength;
use crate::cancel::CancelToken;

/// Options of cloning a voice from a recording, and of loading a voice file.
///
/// ```
/// use tts_core::VoiceOptions;
/// use tts_core::audio::PromptLength;
///
/// let options = VoiceOptions::default().with_length(PromptLength::Truncated);
/// let cancel = options.cancel.clone();
/// // On another thread, while the voice is being cloned:
/// cancel.cancel();
/// assert!(options.cancel.is_cancelled());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VoiceOptions {
    /// How much of a recording is used; the whole recording by default.
    pub length: PromptLength,
    /// Limit of the counted bytes of the process while the voice is made; unlimited when `None`.
    pub memory_limit_bytes: Option<u64>,
    /// Cancels the work. It ends within about 100 ms.
    pub cancel: CancelToken,
}

impl VoiceOptions {
    /// Sets how much of a recording is used.
    #[must_use]
    pub fn with_length(self, length: PromptLength) -> Self {
        Self { length, ..self }
    }

    /// Sets the limit of the counted bytes of the process.
    #[must_use]
    pub fn with_memory_limit_bytes(self, limit_bytes: u64) -> Self {
        Self {
            memory_limit_bytes: Some(limit_bytes),
            ..self
        }
    }

    /// Sets the token that cancels the work.
    #[must_use]
    pub fn with_cancel(self, cancel: &CancelToken) -> Self {
        Self {
            cancel: cancel.clone(),
            ..self
        }
    }
}
