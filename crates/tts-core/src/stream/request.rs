//! Requests for speech.

use crate::ledger::MemoryLimit;
use crate::options::GenerateOptions;
use crate::text::PreparedText;
use crate::voice::Voice;

/// A prepared text, its voice, and the options of the generation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SpeechRequest {
    /// The voice.
    pub voice: Voice,
    /// The text.
    pub text: PreparedText,
    /// The options.
    pub options: GenerateOptions,
    /// The memory limit. In a batch, the smallest limit applies to all requests.
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
