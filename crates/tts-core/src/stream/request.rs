//! What a stream is started with.

use crate::ledger::MemoryLimit;
use crate::options::GenerateOptions;
use crate::text::PreparedText;
use crate::voice::Voice;

/// A prepared text, the voice that speaks it, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SpeechRequest {
    /// The voice.
    pub voice: Voice,
    /// The text.
    pub text: PreparedText,
    /// The options.
    pub options: GenerateOptions,
    /// The limit that the speech adheres to. In a batch, the smallest limit applies to all requests.
    pub memory_limit: Option<MemoryLimit>,
}

impl SpeechRequest {
    /// Creates a request without a memory limit.
    #[must_use]
    pub fn new(voice: Voice, text: PreparedText, options: GenerateOptions) -> Self {
        Self {
            voice,
            text,
            options,
            memory_limit: None,
        }
    }

    /// Sets the memory limit.
    #[must_use]
    pub fn with_memory_limit(self, limit: MemoryLimit) -> Self {
        Self {
            memory_limit: Some(limit),
            ..self
        }
    }
}
