//! The memory of a stream, computed from the sizes of its model.

use std::num::NonZeroU64;

use batch_planner::{MemoryModel, Term};

use crate::engine::Engine;
use crate::scheduler::{CHUNKS_AHEAD, FRAMES_AHEAD, FRAMES_PER_CALL, PENDING_FRAMES_PER_SEGMENT};
use crate::text::SegmentSize;

/// Segments' texts, names, the tables of threads and pools: measured at 0.2 to 0.5 MiB.
const BOOKKEEPING_BYTES: u64 = 1 << 20;

/// Buffers that matrix products retain for each computing thread, and the allocator's slack in its peak
/// of 32 KiB per thread.
const BYTES_PER_THREAD: u64 = 64 << 10;

/// The memory that a stream needs in addition to a loaded model and a voice. Each term follows from a
/// size in the model's config; none is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamCost {
    /// Keys and values of one page of a segment, all layers.
    pub page_bytes: u64,
    /// Positions of one page.
    pub page_positions: usize,
    /// State of the Mimi decoder.
    pub decoder_state_bytes: u64,
    /// Activations of the Mimi decoder.
    pub decode_scratch_bytes: u64,
    /// Activations of a prefill for each token.
    pub prefill_scratch_bytes_per_token: u64,
    /// Activations of one frame for each segment of the batch.
    pub frame_scratch_bytes_per_segment: u64,
    /// Pending latents for each segment of the batch.
    pub pending_bytes_per_segment: u64,
    /// Latents and audio in the channels between the threads.
    pub queue_bytes: u64,
    /// Small allocations.
    pub bookkeeping_bytes: u64,
}

/// The memory of one stream: a fixed amount, and an amount for each segment of the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamNeed {
    /// Keys and values of the largest segment.
    pub kv_bytes_per_segment: u64,
    /// Activations and pending latents of each segment.
    pub scratch_bytes_per_segment: u64,
    /// State of the Mimi decoder.
    pub decoder_state_bytes: u64,
    /// Activations of prefill and decoder.
    pub scratch_bytes: u64,
    /// Channels and small allocations.
    pub queue_bytes: u64,
    /// Audio retained until the end.
    pub audio_bytes: u64,
}

impl StreamCost {
    pub(crate) fn of(engine: &Engine) -> Self {
        let (flow_lm, decoder) = (&engine.flow_lm, &engine.decoder);
        let bytes = |elements: usize| (elements * size_of::<f32>()) as u64;
        // Each latent is a vector of its own.
        let latent_bytes = (size_of::<Vec<f32>>() + flow_lm.latent_dim() * size_of::<f32>()) as u64;
        let chunk_samples = FRAMES_PER_CALL * engine.frame_samples();
        // The stream's own two threads mostly wait, but have slack too.
        let threads = engine.threads.count() as u64 + 2;
        Self {
            page_bytes: bytes(flow_lm.page_elements()),
            page_positions: crate::kv::PAGE_POSITIONS,
            decoder_state_bytes: bytes(decoder.state_elements()),
            decode_scratch_bytes: bytes(decoder.scratch_elements(FRAMES_PER_CALL)),
            prefill_scratch_bytes_per_token: bytes(flow_lm.scratch_elements(1)),
            frame_scratch_bytes_per_segment: bytes(flow_lm.scratch_elements(1)),
            pending_bytes_per_segment: 2 * PENDING_FRAMES_PER_SEGMENT as u64 * latent_bytes,
            queue_bytes: 2 * FRAMES_AHEAD as u64 * latent_bytes
                + bytes((CHUNKS_AHEAD + 2) * chunk_samples),
            bookkeeping_bytes: BOOKKEEPING_BYTES + BYTES_PER_THREAD * threads,
        }
    }

    /// Returns the memory of a stream whose largest segment has this size.
    #[must_use]
    pub fn need(&self, largest: SegmentSize) -> StreamNeed {
        let pages = largest.positions().div_ceil(self.page_positions.max(1)) as u64;
        // A prompt has one more position: the start of speech.
        let prompt_positions = (largest.tokens as u64).saturating_add(1);
        let prefill_bytes = self
            .prefill_scratch_bytes_per_token
            .saturating_mul(prompt_positions);
        StreamNeed {
            kv_bytes_per_segment: self.page_bytes.saturating_mul(pages),
            scratch_bytes_per_segment: self.frame_scratch_bytes_per_segment
                + self.pending_bytes_per_segment,
            decoder_state_bytes: self.decoder_state_bytes,
            scratch_bytes: prefill_bytes.saturating_add(self.decode_scratch_bytes),
            queue_bytes: self.queue_bytes + self.bookkeeping_bytes,
            audio_bytes: 0,
        }
    }
}

impl StreamCost {
    /// Returns the memory of streams as a model of a batch planner. The length of a sequence is its number
    /// of [positions](SegmentSize::positions).
    #[must_use]
    pub fn memory_model(&self, need: &StreamNeed) -> MemoryModel {
        let positions = NonZeroU64::new(self.page_positions as u64).unwrap_or(NonZeroU64::MIN);
        MemoryModel::new()
            .with(
                Term::new("KV cache")
                    .per_item_position(self.page_bytes / positions)
                    .paged(positions),
            )
            .with(Term::new("decoder state").fixed(need.decoder_state_bytes))
            .with(
                Term::new("scratch and pending latents")
                    .fixed(need.scratch_bytes)
                    .per_item(need.scratch_bytes_per_segment),
            )
            .with(Term::new("queues and bookkeeping").fixed(need.queue_bytes))
            .with(Term::new("audio").fixed(need.audio_bytes))
    }
}

impl StreamNeed {
    /// Adds audio that is retained until the end.
    #[must_use]
    pub fn with_audio(self, audio_bytes: u64) -> Self {
        Self {
            audio_bytes,
            ..self
        }
    }

    /// Returns the memory of each segment of the batch.
    #[must_use]
    pub fn bytes_per_segment(&self) -> u64 {
        self.kv_bytes_per_segment
            .saturating_add(self.scratch_bytes_per_segment)
    }

    /// Returns the memory that does not depend on the batch size.
    #[must_use]
    pub fn fixed_bytes(&self) -> u64 {
        [
            self.decoder_state_bytes,
            self.scratch_bytes,
            self.queue_bytes,
            self.audio_bytes,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Returns the memory at a batch size.
    #[must_use]
    pub fn total_bytes(&self, batch_size: usize) -> u64 {
        let segments = self.bytes_per_segment().saturating_mul(batch_size as u64);
        self.fixed_bytes().saturating_add(segments)
    }
}
