//! What a stream takes, from the sizes of its model.

use crate::model::{Model, ModelParts};
use crate::stream::{
    CHUNKS_AHEAD, FRAMES_AHEAD, FRAMES_PER_CALL, FRAMES_WAITING_PER_PART, PartSize,
};
use crate::weights::{Part, expected_tensors};

/// Texts in pieces, names, the tables of threads and pools: measured at 0.2 to 0.5 MiB.
const BOOKKEEPING: u64 = 1 << 20;

/// Buffers that products keep for each thread that computes, and the allocator's slack in its peak, 32 KiB
/// a thread.
const PER_THREAD: u64 = 64 << 10;

/// What a stream takes beyond a loaded model and its voice: each term follows from a size in the
/// model's config, and none is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamCost {
    /// Keys and values of one page of a part, all layers.
    pub page_bytes: u64,
    /// Positions of one page.
    pub page_positions: usize,
    /// What the decoder remembers.
    pub decoder_state: u64,
    /// Activations while the decoder decodes.
    pub decode_scratch: u64,
    /// Activations while a prompt is read, for each of its tokens.
    pub prompt_scratch_per_token: u64,
    /// Activations of one step, for each part that is spoken at once.
    pub step_scratch_per_part: u64,
    /// Latents that wait to be decoded, for each part that is spoken at once beyond the first.
    pub waiting_per_part: u64,
    /// Latents and audio that wait between the threads.
    pub queues: u64,
    /// Everything small.
    pub bookkeeping: u64,
}

/// What one stream takes: so much for itself, and so much for each part that is spoken at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamNeed {
    /// Keys and values of the longest part.
    pub keys_and_values_per_part: u64,
    /// Activations and waiting latents, for each part.
    pub scratch_per_part: u64,
    /// What the decoder remembers.
    pub decoder_state: u64,
    /// Activations of prompt and decoder.
    pub scratch: u64,
    /// Queues and everything small.
    pub queues: u64,
    /// Audio that is kept until its end.
    pub audio: u64,
}

impl StreamCost {
    /// What a stream takes that speaks parts of these sizes.
    #[must_use]
    pub fn need(&self, parts: &[PartSize]) -> StreamNeed {
        let positions = parts.iter().map(PartSize::positions).max().unwrap_or(0);
        let tokens = parts.iter().map(|part| part.tokens).max().unwrap_or(0);
        let pages = positions.div_ceil(self.page_positions.max(1)) as u64;
        StreamNeed {
            keys_and_values_per_part: self.page_bytes * pages,
            scratch_per_part: self.step_scratch_per_part + self.waiting_per_part,
            decoder_state: self.decoder_state,
            // A prompt has one position more, where speech starts.
            scratch: self.prompt_scratch_per_token * (tokens as u64 + 1) + self.decode_scratch,
            queues: self.queues + self.bookkeeping,
            audio: 0,
        }
    }
}

impl StreamNeed {
    /// With audio that is kept until its end.
    #[must_use]
    pub fn with_audio(self, bytes: usize) -> Self {
        Self {
            audio: bytes as u64,
            ..self
        }
    }

    /// Of one part.
    #[must_use]
    pub fn per_part(&self) -> u64 {
        self.keys_and_values_per_part + self.scratch_per_part
    }

    /// Of the stream itself.
    #[must_use]
    pub fn fixed(&self) -> u64 {
        self.decoder_state + self.scratch + self.queues + self.audio
    }

    /// With this many parts at once.
    #[must_use]
    pub fn bytes(&self, parts: usize) -> u64 {
        self.fixed().saturating_add(self.per_part() * parts as u64)
    }
}

impl ModelParts {
    /// The most that loading the model takes: its prepared weights, the tables that stay in their file, and
    /// three copies of the largest tensor, as stored, as numbers and in the order of the kernels.
    #[must_use]
    pub fn loading_bytes(&self) -> u64 {
        /// The widest tile that outputs are padded to, see `PackedMatrix`.
        const TILE: usize = 32;
        let mut kept = 0;
        let mut largest = 0;
        for spec in expected_tensors(&self.config) {
            if spec.part == Part::VoiceEncoder {
                continue;
            }
            let numbers: usize = spec.shape.iter().product();
            let inputs = numbers / spec.shape.first().copied().unwrap_or(1).max(1);
            largest = largest.max(numbers);
            kept += numbers + TILE * inputs;
        }
        ((kept + 3 * largest) * size_of::<f32>()) as u64 + BOOKKEEPING
    }
}

impl Model {
    /// What a stream takes beyond the model and a voice.
    #[must_use]
    pub fn stream_cost(&self) -> StreamCost {
        let shared = &self.shared;
        let (flow_lm, decoder) = (&shared.flow_lm, &shared.decoder);
        let numbers = |count: usize| (count * size_of::<f32>()) as u64;
        let latent = flow_lm.latent_dim();
        // A latent lies in a vector of its own.
        let waiting = size_of::<Vec<f32>>() + latent * size_of::<f32>();
        let chunk = FRAMES_PER_CALL * self.frame_samples();
        // Those of a stream wait, mostly, and have their slack too.
        let threads = self.threads() as u64 + 2;
        StreamCost {
            page_bytes: numbers(flow_lm.page_numbers()),
            page_positions: crate::kv::PAGE_STEPS,
            decoder_state: numbers(decoder.state_numbers()),
            decode_scratch: numbers(decoder.scratch_numbers(FRAMES_PER_CALL)),
            prompt_scratch_per_token: numbers(flow_lm.scratch_numbers(1)),
            step_scratch_per_part: numbers(flow_lm.scratch_numbers(1)),
            waiting_per_part: (2 * FRAMES_WAITING_PER_PART * waiting) as u64,
            queues: (2 * FRAMES_AHEAD * waiting) as u64 + numbers((CHUNKS_AHEAD + 2) * chunk),
            bookkeeping: BOOKKEEPING + PER_THREAD * threads,
        }
    }
}
