//! Predicted memory of speech.

use std::fmt;

use batch_planner::{Sequences, Term};
use bytesize::ByteSize;
use serde::Serialize;
use tts_core::memory::{Ledger, LoadingCost, StreamCost, StreamNeed, VoiceNeed};
use tts_core::text::SegmentSize;

use super::context::context_limit_bytes;
use super::format::write_table;
use super::runtime::get_memory_ledger;
use crate::error::Result;

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
    /// Bytes of each category during the speech.
    pub terms: Vec<PlannedBytes>,
    /// Peak while the model is loaded; `None` if it is loaded already.
    pub loading_peak_bytes: Option<u64>,
    /// Peak while the voice is made; `None` if it is made already.
    pub voice_peak_bytes: Option<u64>,
    /// Peak of the speech: the sum of all categories.
    pub speech_peak_bytes: u64,
    /// The highest of the peaks: the peak of the process.
    pub peak_bytes: u64,
    /// The limit that applies: the lowest of those that were set, or the system's if it is too low.
    pub limit_bytes: Option<u64>,
    #[serde(skip)]
    own_limit_bytes: Option<u64>,
    /// Threads that will start.
    #[serde(skip)]
    threads: usize,
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

    /// Returns an error with the missing bytes and a sufficient limit if the peak exceeds the limit.
    ///
    /// # Errors
    ///
    /// [`LimitTooLow`](tts_core::MemoryError::LimitTooLow).
    pub fn check(&self) -> Result<()> {
        let ledger = get_memory_ledger();
        let what = match self.peak_bytes {
            peak if peak == self.speech_peak_bytes => "the speech",
            peak if Some(peak) == self.voice_peak_bytes => "making the voice",
            _ => "loading the model",
        };
        Ok(ledger.check_peak(self.own_limit_bytes, what, self.peak_bytes, self.threads)?)
    }

    /// Returns a limit in MB (1,048,576 bytes) that is sufficient.
    #[must_use]
    pub fn sufficient_limit_mb(&self) -> u64 {
        tts_core::memory::sufficient_limit_mb(self.peak_bytes)
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
        if self.loading_peak_bytes.or(self.voice_peak_bytes).is_some() {
            rows.push(row("peak of the speech", self.speech_peak_bytes));
        }
        rows.extend(
            self.voice_peak_bytes
                .map(|bytes| row("peak of making the voice", bytes)),
        );
        rows.extend(
            self.loading_peak_bytes
                .map(|bytes| row("peak of loading", bytes)),
        );
        rows.push(row("peak", self.peak_bytes));
        rows.extend(self.limit_bytes.map(|limit| row("limit", limit)));
        write_table(f, ["category", "at most"], rows)
    }
}

/// Speech that is planned, and what has to happen before it.
pub(crate) struct Work<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) cost: &'a StreamCost,
    pub(crate) need: StreamNeed,
    /// Number of segments; `None` if it is unknown.
    pub(crate) segments: Option<usize>,
    pub(crate) longest: SegmentSize,
    pub(crate) max_batch_size: usize,
    pub(crate) own_limit_bytes: Option<u64>,
    /// Prepared weights.
    pub(crate) weights_bytes: u64,
    /// Weights that stay mapped.
    pub(crate) mapped_bytes: u64,
    pub(crate) voice_bytes: u64,
    /// Threads that will start.
    pub(crate) threads: usize,
    /// `None` if the model and the voice are loaded.
    pub(crate) pending: Option<Pending>,
}

/// Work before the speech.
pub(crate) struct Pending {
    pub(crate) loading: LoadingCost,
    pub(crate) voice: VoiceNeed,
}

impl MemoryPlan {
    /// Plans speech at the largest batch size that fits the limit.
    pub(crate) fn new(work: &Work<'_>) -> Self {
        let ledger = work.ledger;
        let own_limits = [work.own_limit_bytes, context_limit_bytes()];
        let own_limit_bytes = own_limits.into_iter().flatten().min();
        let present_bytes = ledger.needed_bytes();
        let loaded_bytes = work
            .pending
            .as_ref()
            .map_or(0, |pending| pending.loading.loaded_bytes);
        let pending_voice_bytes = work
            .pending
            .as_ref()
            .map_or(0, |pending| pending.voice.voice_bytes);
        let before_speech = loaded_bytes.saturating_add(pending_voice_bytes);
        let memory = work
            .cost
            .memory_model(&work.need)
            .with(Term::new("model and voice").fixed(before_speech));
        let sequences = Sequences {
            count: work.segments.map_or(u64::MAX, |count| count as u64),
            length: work.longest.positions() as u64,
        };
        let max_batch_size = work.max_batch_size.max(1) as u64;
        let capacity = ledger.capacity(own_limit_bytes, &memory, sequences, max_batch_size);
        let batch_size = capacity.map_or(1, |capacity| capacity.batch_size.max(1)) as usize;

        let speech_peak_bytes = present_bytes
            .saturating_add(before_speech)
            .saturating_add(work.need.total_bytes(batch_size));
        let loading_peak_bytes = work
            .pending
            .as_ref()
            .map(|pending| present_bytes.saturating_add(pending.loading.peak_bytes));
        let voice_peak_bytes = work.pending.as_ref().map(|pending| {
            present_bytes
                .saturating_add(loaded_bytes)
                .saturating_add(pending.voice.peak_bytes(false))
        });
        let peaks = [
            loading_peak_bytes,
            voice_peak_bytes,
            Some(speech_peak_bytes),
        ];
        let peak_bytes = peaks.into_iter().flatten().max().unwrap_or_default();
        // A limit of the system is a limit of the plan only where it matters.
        let set_bytes = ledger.effective_limit_bytes(own_limit_bytes);
        let lowest_bytes = ledger.limit(own_limit_bytes).map(|limit| limit.limit_bytes);
        let limit_bytes = lowest_bytes.filter(|limit| set_bytes.is_some() || peak_bytes > *limit);
        Self {
            segments: work.segments,
            batch_size,
            longest_segment_tokens: work.longest.tokens,
            longest_segment_frames: work.longest.max_frames,
            terms: work.terms(present_bytes.saturating_add(before_speech), batch_size),
            loading_peak_bytes,
            voice_peak_bytes,
            speech_peak_bytes,
            peak_bytes,
            limit_bytes,
            own_limit_bytes,
            threads: work.threads,
        }
    }
}

impl Work<'_> {
    /// The memory during the speech; `before_bytes` are in use when it starts.
    fn terms(&self, before_bytes: u64, batch_size: usize) -> Vec<PlannedBytes> {
        let need = &self.need;
        let times = |bytes: u64| bytes.saturating_mul(batch_size as u64);
        let known_bytes = self.weights_bytes + self.mapped_bytes + self.voice_bytes;
        let terms = [
            ("weights, prepared", self.weights_bytes),
            ("weights, mapped", self.mapped_bytes),
            ("voices", self.voice_bytes),
            (
                "rest of the program",
                before_bytes.saturating_sub(known_bytes),
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
        terms
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(name, bytes)| PlannedBytes { name, bytes })
            .collect()
    }
}
