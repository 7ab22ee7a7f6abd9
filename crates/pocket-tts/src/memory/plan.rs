//! Predicted memory of speech.

use std::fmt;

use bytesize::ByteSize;
use serde::Serialize;
use tts_core::memory::{StreamNeed, counted, present};
use tts_core::{Model, SpeechRequest, Voice};

use super::context::MemoryContext;
use super::format::write_table;

/// The predicted memory of speech: the peak of the process's counted bytes, by category.
///
/// It is an upper bound, computed from the sizes of the model and of the longest segment, for speech of
/// the maximum length. Displays as a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MemoryPlan {
    /// Number of segments; `None` for a long text that is cut while it is spoken.
    pub segments: Option<usize>,
    /// Segments generated together.
    pub batch_size: usize,
    /// Tokens of the longest segment.
    pub longest_segment_tokens: usize,
    /// Maximum frames of its speech.
    pub longest_segment_frames: usize,
    /// Bytes of each category.
    pub terms: Vec<PlannedBytes>,
    /// Sum of all categories: the peak of the process.
    pub peak_bytes: u64,
    /// The limit of the current context.
    pub limit_bytes: Option<u64>,
}

/// Predicted bytes of one category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedBytes {
    /// The category.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: u64,
}

impl MemoryPlan {
    /// Whether the peak is within the limit; always true without a limit.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.shortfall_bytes() == 0
    }

    /// Returns the bytes by which the limit is too low.
    #[must_use]
    pub fn shortfall_bytes(&self) -> u64 {
        self.limit_bytes
            .map_or(0, |limit| self.peak_bytes.saturating_sub(limit))
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.segments {
            Some(1) => f.write_str("1 segment")?,
            Some(count) => write!(f, "{count} segments")?,
            None => f.write_str("a long text, cut while it is spoken")?,
        }
        writeln!(
            f,
            ", batch size {}; the longest segment has {} tokens and at most {} frames",
            self.batch_size, self.longest_segment_tokens, self.longest_segment_frames,
        )?;
        let row = |name: &str, bytes: u64| [name.to_owned(), ByteSize::b(bytes).to_string()];
        let mut rows: Vec<_> = self
            .terms
            .iter()
            .map(|term| row(term.name, term.bytes))
            .collect();
        rows.push(row("peak", self.peak_bytes));
        rows.extend(self.limit_bytes.map(|limit| row("limit", limit)));
        write_table(f, ["category", "at most"], rows)
    }
}

impl MemoryPlan {
    /// Plans requests at the largest batch size up to `wanted` that fits the limit of the context.
    pub(crate) fn new(
        model: &Model,
        requests: &[SpeechRequest],
        need: &StreamNeed,
        wanted: usize,
    ) -> Self {
        let pool = model.memory_pool();
        pool.trim(0);
        let counts = requests.iter().map(|request| request.text.segment_count());
        let segments: Option<usize> = counts.sum();
        let wanted = wanted.min(segments.unwrap_or(usize::MAX)).max(1);
        let limit_bytes = MemoryContext::current().limit_bytes();
        let present_bytes = present(pool);
        let peak_bytes = |batch_size| present_bytes.saturating_add(need.total_bytes(batch_size));
        let fits = |&size: &usize| limit_bytes.is_none_or(|limit| peak_bytes(size) <= limit);
        let batch_size = (1..=wanted).rev().find(fits).unwrap_or(1);

        let size = model.size();
        let weights_bytes =
            (size.flow_lm_bytes + size.decoder_bytes + size.encoder_bytes.unwrap_or(0)) as u64;
        let mapped_bytes = counted(pool).mapped;
        let mut voices: Vec<&Voice> = Vec::new();
        for request in requests {
            if !voices.iter().any(|voice| voice.is_same(&request.voice)) {
                voices.push(&request.voice);
            }
        }
        let voice_bytes = voices.iter().map(|voice| voice.size_bytes()).sum::<u64>();
        let times = |bytes: u64| bytes.saturating_mul(batch_size as u64);
        let known_bytes = weights_bytes + mapped_bytes + voice_bytes;
        let terms = [
            ("weights, prepared", weights_bytes),
            ("weights, mapped", mapped_bytes),
            ("voices", voice_bytes),
            (
                "rest of the program",
                present_bytes.saturating_sub(known_bytes),
            ),
            ("KV cache", times(need.kv_bytes_per_segment)),
            ("decoder state", need.decoder_state_bytes),
            (
                "scratch and pending latents",
                need.scratch_bytes
                    .saturating_add(times(need.scratch_bytes_per_segment)),
            ),
            ("queues and bookkeeping", need.queue_bytes),
            ("audio", need.audio_bytes),
        ];
        let longest = requests
            .iter()
            .map(|request| request.text.largest_segment())
            .max_by_key(|size| size.positions())
            .unwrap_or_default();
        Self {
            segments,
            batch_size,
            longest_segment_tokens: longest.tokens,
            longest_segment_frames: longest.max_frames,
            peak_bytes: peak_bytes(batch_size),
            terms: terms
                .into_iter()
                .filter(|(_, bytes)| *bytes > 0)
                .map(|(name, bytes)| PlannedBytes { name, bytes })
                .collect(),
            limit_bytes,
        }
    }
}
