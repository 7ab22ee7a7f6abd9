//! Predicted memory of speech.

use std::fmt;

use batch_planner::Sequences;
use bytesize::ByteSize;
use serde::Serialize;
use tts_core::memory::StreamNeed;
use tts_core::{Model, SpeechRequest, Voice};

use super::context::context_limit_bytes;
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
        let ledger = model.ledger();
        let counts = requests.iter().map(|request| request.text.segment_count());
        let segments: Option<usize> = counts.sum();
        let longest = requests
            .iter()
            .map(|request| request.text.largest_segment())
            .max_by_key(|size| size.positions())
            .unwrap_or_default();
        let own_limit_bytes = requests
            .iter()
            .filter_map(|request| request.memory_limit_bytes)
            .chain(context_limit_bytes())
            .min();
        let limit_bytes = ledger.effective_limit_bytes(own_limit_bytes);
        let sequences = Sequences {
            count: segments.map_or(u64::MAX, |count| count as u64),
            length: longest.positions() as u64,
        };
        let memory = model.stream_cost().memory_model(need);
        let capacity = ledger.capacity(own_limit_bytes, &memory, sequences, wanted.max(1) as u64);
        let batch_size = capacity.map_or(1, |capacity| capacity.batch_size.max(1)) as usize;
        let present_bytes = ledger.needed_bytes();
        let peak_bytes = present_bytes.saturating_add(need.total_bytes(batch_size));

        let size = model.size();
        let weights_bytes =
            size.flow_lm_bytes + size.decoder_bytes + size.encoder_bytes.unwrap_or(0);
        let mapped_bytes = ledger.counted().mapped_bytes;
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
        Self {
            segments,
            batch_size,
            longest_segment_tokens: longest.tokens,
            longest_segment_frames: longest.max_frames,
            peak_bytes,
            terms: terms
                .into_iter()
                .filter(|(_, bytes)| *bytes > 0)
                .map(|(name, bytes)| PlannedBytes { name, bytes })
                .collect(),
            limit_bytes,
        }
    }
}
