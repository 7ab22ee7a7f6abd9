//! The memory of making a voice, computed from sizes that are known before the work.

use crate::audio::{PromptCost, RecordingInfo};
use crate::config::Config;
use crate::flow_lm::FlowLm;
use crate::mimi::MimiEncoder;
use crate::weights::{Component, Loader};

/// Names, shapes and tables.
const BOOKKEEPING_BYTES: u64 = 256 << 10;

/// Buffers that matrix products retain for each computing thread, and the allocator's slack in its peak
/// of 32 KiB per thread.
const BYTES_PER_THREAD: u64 = 64 << 10;

/// The sizes of a model that determine the memory of making a voice. Each follows from a size in the
/// model's config. They apply to the CPU's default device, whose activations are on the heap.
///
/// ```
/// use std::path::Path;
/// use tts_core::audio::{Audio, PromptLength, RecordingInfo};
/// use tts_core::Config;
/// use tts_core::memory::VoiceCost;
///
/// # fn main() -> tts_core::Result<()> {
/// let config = Config::read(Path::new("tests/fixtures/parity/lsd/config.yaml"))?;
/// let cost = VoiceCost::of(&config, 2);
/// let second = Audio::new(vec![0.1; 24_000], 24_000);
/// let need = cost.recording(&RecordingInfo::of_audio(&second, PromptLength::Whole));
/// // One second and a pause of 80 ms have 14 frames. A position precedes them.
/// assert_eq!(need.voice_bytes, 15 * cost.kv_bytes_per_position);
/// assert!(need.peak_bytes(false) > need.peak_bytes(true));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VoiceCost {
    /// Prepared weights of the voice encoder.
    pub encoder_bytes: u64,
    /// Peak while the voice encoder is loaded, its weights included.
    pub encoder_loading_bytes: u64,
    /// State of the voice encoder while it encodes.
    pub encoder_state_bytes: u64,
    /// Activations of the voice encoder.
    pub encode_scratch_bytes: u64,
    /// Encoded audio of one frame.
    pub latent_bytes_per_frame: u64,
    /// Activations of the prefill of a voice.
    pub prefill_scratch_bytes: u64,
    /// Attention scores of one position, all threads.
    pub attention_bytes_per_position: u64,
    /// Keys and values of one position, all layers.
    pub kv_bytes_per_position: u64,
    /// Positions of a voice before those of its frames.
    pub leading_positions: usize,
    /// Samples of one frame.
    pub frame_samples: usize,
    /// Sample rate of the voice encoder, in Hz.
    pub sample_rate_hz: u32,
    /// Small allocations.
    pub bookkeeping_bytes: u64,
}

/// The memory of making one voice, in addition to what is present before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VoiceNeed {
    /// Prepared weights of the voice encoder, which remain loaded. 0 for a voice file.
    pub encoder_bytes: u64,
    /// Peak while the voice encoder is loaded, its weights included. 0 for a voice file.
    pub encoder_loading_bytes: u64,
    /// Peak while the recording or the voice file is read, without the voice encoder.
    pub reading_bytes: u64,
    /// Peak while the recording is encoded, without the voice encoder's weights.
    pub encoding_bytes: u64,
    /// Peak of the prefill, without the voice encoder's weights. Includes the voice.
    pub prefill_bytes: u64,
    /// Keys and values of the voice, which remain.
    pub voice_bytes: u64,
}

impl VoiceCost {
    /// Computes the sizes for a model that computes on `threads` threads. Loads nothing.
    #[must_use]
    pub fn of(config: &Config, threads: usize) -> Self {
        const NOTHING_IS_READ: &str = "a dry run reads nothing that could fail";
        let loader = Loader::dry_run(Component::FlowLm);
        let flow_lm = FlowLm::load(&loader, config).expect(NOTHING_IS_READ);
        let loader = Loader::dry_run(Component::VoiceEncoder);
        let encoder = MimiEncoder::load(&loader, config).expect(NOTHING_IS_READ);
        let bytes = |elements: usize| elements as u64 * size_of::<f32>() as u64;
        Self {
            encoder_bytes: loader.prepared_bytes() as u64,
            encoder_loading_bytes: loader.peak_bytes() as u64,
            encoder_state_bytes: bytes(encoder.state_elements()),
            encode_scratch_bytes: bytes(encoder.scratch_elements()),
            latent_bytes_per_frame: bytes(encoder.latent_elements(1)),
            prefill_scratch_bytes: bytes(
                flow_lm.voice_scratch_elements(MimiEncoder::SLICE_FRAMES)
                    + encoder.latent_elements(MimiEncoder::SLICE_FRAMES),
            ),
            // A vector that grows to the next power of two, while its old buffer is present too.
            attention_bytes_per_position: bytes(3 * threads),
            kv_bytes_per_position: bytes(flow_lm.layers() * 2 * flow_lm.heads().kv_width()),
            leading_positions: flow_lm.voice_positions(0),
            frame_samples: config.mimi.frame_samples(),
            // The config reader checks that it is at most 2^20.
            sample_rate_hz: config.mimi.sample_rate as u32,
            bookkeeping_bytes: BOOKKEEPING_BYTES + BYTES_PER_THREAD * threads as u64,
        }
    }

    /// Returns the memory of cloning a voice from a recording of this size.
    #[must_use]
    pub fn recording(&self, info: &RecordingInfo) -> VoiceNeed {
        let prompt = PromptCost::new(info.max_samples, info.sample_rate_hz, self.sample_rate_hz);
        let prompt_bytes = (prompt.samples * size_of::<f32>()) as u64;
        let frames = prompt.samples.div_ceil(self.frame_samples.max(1));
        let latent_bytes = self.latent_bytes_per_frame.saturating_mul(frames as u64);
        let voice_bytes = self.voice_bytes(frames + self.leading_positions);
        let sum = |terms: &[u64]| {
            let terms = terms.iter().chain([&self.bookkeeping_bytes]);
            terms.fold(0, |sum: u64, term| sum.saturating_add(*term))
        };
        VoiceNeed {
            encoder_bytes: self.encoder_bytes,
            encoder_loading_bytes: sum(&[self.encoder_loading_bytes]),
            reading_bytes: sum(&[info.reading_bytes as u64, prompt.peak_bytes as u64]),
            encoding_bytes: sum(&[
                prompt_bytes,
                self.encoder_state_bytes,
                self.encode_scratch_bytes,
                latent_bytes,
            ]),
            // The pool retains the encoder's state.
            prefill_bytes: sum(&[
                self.encoder_state_bytes,
                latent_bytes,
                self.prefill_scratch_bytes,
                voice_bytes,
                self.attention_bytes_per_position
                    .saturating_mul((frames + self.leading_positions) as u64),
            ]),
            voice_bytes,
        }
    }

    /// Returns the memory of loading a voice file of so many positions, whose largest layer takes
    /// `largest_layer_bytes` as stored.
    #[must_use]
    pub fn file(&self, positions: usize, largest_layer_bytes: u64) -> VoiceNeed {
        let voice_bytes = self.voice_bytes(positions);
        VoiceNeed {
            reading_bytes: voice_bytes
                .saturating_add(largest_layer_bytes)
                .saturating_add(self.bookkeeping_bytes),
            voice_bytes,
            ..VoiceNeed::default()
        }
    }

    fn voice_bytes(&self, positions: usize) -> u64 {
        self.kv_bytes_per_position.saturating_mul(positions as u64)
    }
}

impl VoiceNeed {
    /// Returns the peak while the voice is made.
    #[must_use]
    pub fn peak_bytes(&self, encoder_is_loaded: bool) -> u64 {
        let work = self
            .reading_bytes
            .max(self.encoding_bytes)
            .max(self.prefill_bytes);
        match encoder_is_loaded {
            true => work,
            false => work
                .saturating_add(self.encoder_bytes)
                .max(self.encoder_loading_bytes),
        }
    }

    /// Returns what remains after the voice was made, until the voice and the encoder are dropped.
    #[must_use]
    pub fn retained_bytes(&self, encoder_is_loaded: bool) -> u64 {
        match encoder_is_loaded {
            true => self.voice_bytes,
            false => self.voice_bytes.saturating_add(self.encoder_bytes),
        }
    }
}
