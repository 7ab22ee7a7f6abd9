//! Options of generation.

mod voice;

use serde::{Deserialize, Serialize};

use crate::error::InvalidSetting;

pub use voice::VoiceOptions;

/// Options of one generation. The defaults are the model's own.
///
/// ```
/// use tts_core::GenerateOptions;
///
/// let options = GenerateOptions::default().with_seed(1).with_max_tokens(30);
/// assert_eq!(options.seed, Some(1));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GenerateOptions {
    /// Variance of the sampler's noise; the model's `default_temperature` when `None`.
    pub temperature: Option<f32>,
    /// Solver steps for each latent. Only models of type `lsd` and `flow_matching` support more than
    /// one; `flow_matching` needs about 16.
    pub sampler_decode_steps: usize,
    /// The noise is limited to this and its negative; unbounded when `None`.
    pub noise_clamp: Option<f32>,
    /// End-of-speech logit above which speech ends; the model's `default_eos_threshold` when `None`.
    pub eos_threshold: Option<f32>,
    /// Frames generated after the end of speech is detected. When `None`, the model's recommendation,
    /// or an estimate from the text.
    pub frames_after_eos: Option<usize>,
    /// Maximum tokens of a segment. Longer texts are cut at the ends of sentences, longer sentences
    /// after commas, semicolons and colons, and longer clauses at spaces.
    pub max_tokens: usize,
    /// Segments generated together, from 1 to 64. A larger batch needs more memory and finishes a long
    /// text sooner, but its first audio is not available sooner. It does not change the audio. When
    /// `None`, this crate uses 1; the crate `pocket-tts` chooses a size.
    pub batch_size: Option<usize>,
    /// Seed of the noise generator: the same seed gives the same audio. Random when `None`.
    pub seed: Option<u64>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            temperature: None,
            sampler_decode_steps: 1,
            noise_clamp: None,
            eos_threshold: None,
            frames_after_eos: None,
            // The models were trained on sentences of about this length.
            max_tokens: 50,
            batch_size: None,
            seed: None,
        }
    }
}

/// Maximum solver steps: each costs about as much as the first, and quality stops improving long before.
const MAX_SOLVER_STEPS: usize = 1024;

/// Maximum batch size: far below it, the arithmetic of a frame outweighs the reading of the weights.
const MAX_BATCH_SIZE: usize = 64;

/// Maximum frames after the end of speech: at 12.5 frames a second, over a minute of silence.
const MAX_FRAMES_AFTER_EOS: usize = 1000;

impl GenerateOptions {
    /// Sets the variance of the sampler's noise.
    #[must_use]
    pub fn with_temperature(self, temperature: f32) -> Self {
        Self {
            temperature: Some(temperature),
            ..self
        }
    }

    /// Sets the solver steps for each latent.
    #[must_use]
    pub fn with_sampler_decode_steps(self, sampler_decode_steps: usize) -> Self {
        Self {
            sampler_decode_steps,
            ..self
        }
    }

    /// Limits the noise.
    #[must_use]
    pub fn with_noise_clamp(self, noise_clamp: f32) -> Self {
        Self {
            noise_clamp: Some(noise_clamp),
            ..self
        }
    }

    /// Sets the end-of-speech logit above which speech ends.
    #[must_use]
    pub fn with_eos_threshold(self, eos_threshold: f32) -> Self {
        Self {
            eos_threshold: Some(eos_threshold),
            ..self
        }
    }

    /// Sets the frames generated after the end of speech is detected.
    #[must_use]
    pub fn with_frames_after_eos(self, frames_after_eos: usize) -> Self {
        Self {
            frames_after_eos: Some(frames_after_eos),
            ..self
        }
    }

    /// Sets the maximum tokens of a segment.
    #[must_use]
    pub fn with_max_tokens(self, max_tokens: usize) -> Self {
        Self { max_tokens, ..self }
    }

    /// Sets the number of segments generated together.
    #[must_use]
    pub fn with_batch_size(self, batch_size: usize) -> Self {
        Self {
            batch_size: Some(batch_size),
            ..self
        }
    }

    /// Sets the seed of the noise generator.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self {
            seed: Some(seed),
            ..self
        }
    }

    /// Checks every option.
    ///
    /// # Errors
    ///
    /// A value is out of range; the message names the option and its range.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let refuse = |name, found: String, allowed| {
            Err(InvalidSetting {
                name,
                found,
                allowed,
            })
        };
        if let Some(t) = self.temperature
            && !(t.is_finite() && t >= 0.0)
        {
            return refuse("temperature", t.to_string(), "a number from 0 up");
        }
        if !(1..=MAX_SOLVER_STEPS).contains(&self.sampler_decode_steps) {
            let found = self.sampler_decode_steps.to_string();
            return refuse("sampler-decode-steps", found, "from 1 to 1024");
        }
        if let Some(clamp) = self.noise_clamp
            && !(clamp.is_finite() && clamp > 0.0)
        {
            return refuse("noise-clamp", clamp.to_string(), "a number above 0");
        }
        if let Some(threshold) = self.eos_threshold
            && threshold.is_nan()
        {
            return refuse("eos-threshold", threshold.to_string(), "a number");
        }
        if let Some(frames) = self.frames_after_eos
            && frames > MAX_FRAMES_AFTER_EOS
        {
            return refuse("frames-after-eos", frames.to_string(), "at most 1000");
        }
        if self.max_tokens == 0 {
            return refuse("max-tokens", "0".to_owned(), "at least 1");
        }
        if let Some(size) = self.batch_size
            && !(1..=MAX_BATCH_SIZE).contains(&size)
        {
            return refuse("batch-size", size.to_string(), "from 1 to 64");
        }
        Ok(())
    }
}
