//! The thread that draws latents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use super::progress::Counters;
use crate::error::Result;
use crate::flow_lm::TimeSchedule;
use crate::model::Model;
use crate::noise::Noise;
use crate::options::GenerateOptions;
use crate::text::{self, Chunks};
use crate::voice::Voice;

/// Tokens spoken in a second, as the reference estimates it to bound the length of speech.
const TOKENS_PER_SECOND: f64 = 3.0;
/// Seconds added to that estimate, as in the reference.
const PADDING_SECONDS: f64 = 2.0;
/// Frames in which the end of speech is not looked for: before the first word is out, the logit
/// of some voices is over the threshold. As in the reference.
const FRAMES_BEFORE_EOS: usize = 6;
/// Added to the frames guessed from a text's length, as in the reference.
const EXTRA_FRAMES_AFTER_EOS: usize = 2;

/// What the generator hands to the decoder.
#[derive(Debug)]
pub(super) enum Frame {
    /// The next frames belong to a new part of the text: they are decoded from a fresh state.
    Begin,
    /// One latent.
    Latent(Vec<f32>),
    /// It failed.
    Failed(crate::error::Error),
}

pub(super) struct Generator {
    pub(super) model: Model,
    pub(super) voice: Voice,
    pub(super) texts: Chunks,
    pub(super) noise: Noise,
    pub(super) options: GenerateOptions,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) counters: Arc<Counters>,
    pub(super) frames: SyncSender<Frame>,
}

/// The other thread or the caller has gone.
struct Stopped;

impl Generator {
    /// Speaks every part of the text.
    pub(super) fn run(mut self) {
        if let Err(error) = self.speak() {
            // Nobody is left to tell if this fails.
            let _ = self.frames.send(Frame::Failed(error));
        }
    }

    fn speak(&mut self) -> Result<()> {
        let model = self.model.clone();
        let times = model.shared.threads.all().install(|| {
            model
                .shared
                .flow_lm
                .time_schedule(self.options.sampler_decode_steps)
        })?;
        let mut next = self.texts.next().transpose()?;
        while let Some(part) = next {
            next = self.texts.next().transpose()?;
            let prepared = text::prepare(&part.text, &model.shared.text_options)?;
            let tokens = model.shared.tokenizer.encode(&prepared.text)?;
            let frames_after_eos = self
                .options
                .frames_after_eos
                .or(model.shared.config.model_recommended_frames_after_eos)
                .unwrap_or(prepared.frames_after_eos_guess + EXTRA_FRAMES_AFTER_EOS);
            let max_frames = max_frames(tokens.len(), model.shared.config.mimi.frame_rate);
            self.counters.begin_part(max_frames, next.is_none());
            let ended = self.speak_part(tokens, max_frames, frames_after_eos, &times)?;
            if ended.is_err() {
                break;
            }
        }
        Ok(())
    }

    fn speak_part(
        &mut self,
        tokens: Vec<u32>,
        max_frames: usize,
        frames_after_eos: usize,
        times: &TimeSchedule,
    ) -> Result<std::result::Result<(), Stopped>> {
        let _span = tracing::debug_span!("generate").entered();
        let shared = self.model.shared.clone();
        let threshold = self
            .options
            .eos_threshold
            .unwrap_or(shared.config.default_eos_threshold);
        let flow_lm = &shared.flow_lm;
        let mut state = flow_lm.state(vec![self.voice.kv.clone()], &shared.memory)?;
        let mut eos_frame = None;
        let mut latents = Vec::new();
        if self.frames.send(Frame::Begin).is_err() {
            return Ok(Err(Stopped));
        }
        for frame in 0..max_frames {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Err(Stopped));
            }
            let noise = self.noise.take(flow_lm.latent_dim());
            // A prompt comes in one large piece.
            let threads = match frame {
                0 => shared.threads.all(),
                _ => shared.threads.generating(),
            };
            let output = threads.install(|| {
                let span = match frame {
                    0 => tracing::debug_span!("prompt"),
                    _ => tracing::debug_span!("step"),
                };
                let _span = span.entered();
                let condition = if frame == 0 {
                    flow_lm.prompt(&mut state, std::slice::from_ref(&tokens))?
                } else {
                    flow_lm.step(&mut state, &latents)?
                };
                flow_lm.draw(condition, noise, times)
            })?;
            if eos_frame.is_none()
                && frame >= FRAMES_BEFORE_EOS
                && output.eos_logits.iter().all(|logit| *logit > threshold)
            {
                eos_frame = Some(frame);
            }
            if eos_frame.is_some_and(|eos| frame >= eos + frames_after_eos) {
                return Ok(Ok(()));
            }
            latents = output.latents;
            if self.frames.send(Frame::Latent(latents.clone())).is_err() {
                return Ok(Err(Stopped));
            }
        }
        if threshold.is_finite() {
            tracing::warn!("speech did not end by itself within {max_frames} frames");
        }
        Ok(Ok(()))
    }
}

/// Most frames of a text.
pub(crate) fn max_frames(tokens: usize, frame_rate: f64) -> usize {
    ((tokens as f64 / TOKENS_PER_SECOND + PADDING_SECONDS) * frame_rate).ceil() as usize
}
