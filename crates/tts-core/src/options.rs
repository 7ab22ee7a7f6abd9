//! What a caller may choose about speech.

use crate::error::{Error, Result};

/// Settings of one generation. The defaults are the model's own.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Variance of the sampler's noise; the model's `default_temperature` when `None`.
    pub temperature: Option<f32>,
    /// Steps of the flow for each latent. Only models of type `lsd` and `flow_matching` take more
    /// than one; `flow_matching` needs about 16.
    pub sampler_decode_steps: usize,
    /// Noise stays between this and its negative; unbounded when `None`.
    pub noise_clamp: Option<f32>,
    /// Speech ends after the frame whose end-of-speech logit exceeds this; the model's
    /// `default_eos_threshold` when `None`.
    pub eos_threshold: Option<f32>,
    /// Frames spoken after the end was seen; the model's recommendation, or a guess from the
    /// text, when `None`.
    pub frames_after_eos: Option<usize>,
    /// Tokens of text that are spoken in one go; longer texts are cut at sentences.
    pub max_tokens: usize,
    /// Parts of a text that are spoken at once, from 1 to 64. More take more memory and make a long
    /// text sooner, but not its first audio; what is said does not depend on it. When `None`, one in
    /// this crate; the crate `pocket-tts` chooses.
    pub batch_size: Option<usize>,
    /// Start of the noise generator: the same seed gives the same audio. Random when `None`.
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

/// Most sampler steps: each costs about as much as the first, and quality stops growing long
/// before.
const MAX_SAMPLER_STEPS: usize = 1024;

/// Most parts of a text at once: a frame's arithmetic outweighs the reading of the weights long
/// before.
const MAX_BATCH_SIZE: usize = 64;

/// Most frames after the end of speech: at 12.5 frames a second, over a minute of silence.
const MAX_FRAMES_AFTER_EOS: usize = 1000;

impl GenerateOptions {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// A setting is out of range; the message names it and what it may be.
    pub fn validate(&self) -> Result<()> {
        let refuse = |name, found: String, allowed| {
            Err(Error::Setting {
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
        if !(1..=MAX_SAMPLER_STEPS).contains(&self.sampler_decode_steps) {
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
