//! What a stream takes, from the sizes of its model.

use tensor_pool::Bytes;

use crate::model::{Model, ModelParts};
use crate::stream::{
    CHUNKS_AHEAD, FRAMES_AHEAD, FRAMES_PER_CALL, FRAMES_WAITING_PER_PART, PartSize,
};
use crate::weights::{Part, expected_tensors};

/// Texts in pieces, names, the tables of threads and pools: measured at 0.2 to 0.5 MiB.
const BOOKKEEPING: Bytes = Bytes::mib(1);

/// Buffers that products keep for each thread that computes, and the allocator's slack in its peak, 32 KiB
/// a thread.
const PER_THREAD: Bytes = Bytes::kib(64);

/// What a stream takes beyond a loaded model and its voice: each term follows from a size in the
/// model's config, and none is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamCost {
    /// Keys and values of one page of a part, all layers.
    pub page_bytes: Bytes,
    /// Positions of one page.
    pub page_positions: usize,
    /// What the decoder remembers.
    pub decoder_state: Bytes,
    /// Activations while the decoder decodes.
    pub decode_scratch: Bytes,
    /// Activations while a prompt is read, for each of its tokens.
    pub prompt_scratch_per_token: Bytes,
    /// Activations of one step, for each part that is spoken at once.
    pub step_scratch_per_part: Bytes,
    /// Latents that wait to be decoded, for each part that is spoken at once beyond the first.
    pub waiting_per_part: Bytes,
    /// Latents and audio that wait between the threads.
    pub queues: Bytes,
    /// Everything small.
    pub bookkeeping: Bytes,
}

/// What one stream takes: so much for itself, and so much for each part that is spoken at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamNeed {
    /// Keys and values of the longest part.
    pub keys_and_values_per_part: Bytes,
    /// Activations and waiting latents, for each part.
    pub scratch_per_part: Bytes,
    /// What the decoder remembers.
    pub decoder_state: Bytes,
    /// Activations of prompt and decoder.
    pub scratch: Bytes,
    /// Queues and everything small.
    pub queues: Bytes,
    /// Audio that is kept until its end.
    pub audio: Bytes,
}

impl StreamCost {
    /// What a stream takes that speaks parts of these sizes.
    #[must_use]
    pub fn need(&self, parts: &[PartSize]) -> StreamNeed {
        let positions = parts.iter().map(PartSize::positions).max().unwrap_or(0);
        let tokens = parts.iter().map(|part| part.tokens).max().unwrap_or(0);
        let pages = positions.div_ceil(self.page_positions.max(1)) as u64;
        StreamNeed {
            keys_and_values_per_part: Bytes(self.page_bytes.get() * pages),
            scratch_per_part: self.step_scratch_per_part.saturating_add(self.waiting_per_part),
            decoder_state: self.decoder_state,
            // A prompt has one position more, where speech starts.
            scratch: Bytes(self.prompt_scratch_per_token.get() * (tokens as u64 + 1))
                .saturating_add(self.decode_scratch),
            queues: self.queues.saturating_add(self.bookkeeping),
            audio: Bytes::ZERO,
        }
    }
}

impl StreamNeed {
    /// With audio that is kept until its end.
    #[must_use]
    pub fn with_audio(self, bytes: usize) -> Self {
        Self {
            audio: Bytes(bytes as u64),
            ..self
        }
    }

    /// Of one part.
    #[must_use]
    pub fn per_part(&self) -> Bytes {
        self.keys_and_values_per_part.saturating_add(self.scratch_per_part)
    }

    /// Of the stream itself.
    #[must_use]
    pub fn fixed(&self) -> Bytes {
        self.decoder_state.saturating_add(self.scratch).saturating_add(self.queues).saturating_add(self.audio)
    }

    /// With this many parts at once.
    #[must_use]
    pub fn bytes(&self, parts: usize) -> Bytes {
        self.fixed().saturating_add(Bytes(self.per_part().get() * parts as u64))
    }
}

impl ModelParts {
    /// The most that loading the model takes: its prepared weights, the tables that stay in their file, and
    /// three copies of the largest tensor, as stored, as numbers and in the order of the kernels.
    #[must_use]
    pub fn loading_bytes(&self) -> Bytes {
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
        Bytes::of::<f32>(kept + 3 * largest).saturating_add(BOOKKEEPING)
    }
}

impl Model {
    /// What a stream takes beyond the model and a voice.
    #[must_use]
    pub fn stream_cost(&self) -> StreamCost {
        let shared = &self.shared;
        let (flow_lm, decoder) = (&shared.flow_lm, &shared.decoder);
        let numbers = |count: usize| Bytes((count * size_of::<f32>()) as u64);
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
            waiting_per_part: Bytes((2 * FRAMES_WAITING_PER_PART * waiting) as u64),
            queues: Bytes((2 * FRAMES_AHEAD * waiting) as u64)
                .saturating_add(numbers((CHUNKS_AHEAD + 2) * chunk)),
            bookkeeping: BOOKKEEPING.saturating_add(Bytes(PER_THREAD.get() * threads)),
        }
    }
}
