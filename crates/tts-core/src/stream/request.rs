//! Requests for speech.

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
    /// Limit of the process's [counted](crate::memory::Counted) bytes while the request runs, in addition
    /// to the [ledger's](crate::memory::Ledger::set_limit_bytes). In a batch, the smallest limit applies
    /// to all requests.
    pub memory_limit_bytes: Option<u64>,
}

impl SpeechRequest {
    /// Creates a request without a memory limit of its own.
    #[must_use]
    pub fn new(voice: Voice, text: PreparedText, options: GenerateOptions) -> Self {
        Self {
            voice,
            text,
            options,
            memory_limit_bytes: None,
        }
    }

    /// Sets the memory limit.
    #[must_use]
    pub fn with_memory_limit_bytes(self, bytes: u64) -> Self {
        Self {
            memory_limit_bytes: Some(bytes),
            ..self
        }
    }
}

crate::traced::trace_fields!(SpeechRequest: voice, text);
