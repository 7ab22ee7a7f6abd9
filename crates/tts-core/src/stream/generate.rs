//! The thread that draws latents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use super::part::{Part, Parts};
use super::progress::Counters;
use crate::error::{Error, Result};
use crate::flow_lm::{FlowLmState, FrameOutput, TimeSchedule};
use crate::memory::{MemoryLimit, Reservation};
use crate::model::Model;
use crate::noise::Noise;
use crate::options::GenerateOptions;
use crate::voice::VoiceKv;

/// Frames in which the end of speech is not looked for: before the first word is out, the logit
/// of some voices is over the threshold. As in the reference.
const FRAMES_BEFORE_EOS: usize = 6;

/// What the generator hands to the decoder. Parts are numbered over all texts, in the order in which
/// they are begun and heard.
#[derive(Debug)]
pub(super) enum Frame {
    /// The next part, of the given text.
    Begin { request: usize },
    /// The next latent of a part.
    Latent { part: usize, latent: Vec<f32> },
    /// A part has no more latents.
    End { part: usize },
    /// It failed.
    Failed(Error),
}

pub(super) struct Generator {
    pub(super) model: Model,
    /// One for each text.
    pub(super) voices: Vec<Arc<VoiceKv>>,
    pub(super) parts: Parts,
    /// Parts that are spoken at once.
    pub(super) at_once: usize,
    pub(super) seed: u64,
    pub(super) options: GenerateOptions,
    pub(super) limit: Option<MemoryLimit>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) counters: Arc<Counters>,
    pub(super) frames: SyncSender<Frame>,
    /// Held until the speech is over.
    pub(super) _reservation: Arc<Reservation>,
}

/// A part that is being spoken.
struct Sequence {
    /// Its number over all texts.
    part: usize,
    size_limit: usize,
    frames_after_eos: usize,
    state: FlowLmState,
    noise: Noise,
    /// Frames drawn so far.
    frame: usize,
    eos_frame: Option<usize>,
    /// What the last frame drew.
    latent: Vec<f32>,
    is_over: bool,
}

/// Why the generator ends early.
enum End {
    Failed(Error),
    /// The other thread or the caller has gone.
    Stopped,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Generator {
    /// Speaks every part of the texts.
    pub(super) fn run(mut self) {
        if let Err(End::Failed(error)) = self.speak() {
            // Nobody is left to tell if this fails.
            let _ = self.frames.send(Frame::Failed(error));
        }
    }

    fn speak(&mut self) -> Result<(), End> {
        let _span = tracing::debug_span!("generate").entered();
        let model = self.model.clone();
        let shared = &model.shared;
        let steps = self.options.sampler_decode_steps;
        let times = shared
            .threads
            .all()
            .install(|| shared.flow_lm.time_schedule(steps));
        let mut next = self.parts.next().transpose()?;
        let mut begun = 0;
        let mut active: Vec<Sequence> = Vec::with_capacity(self.at_once);
        loop {
            // A part that ends makes room for the next one.
            while active.len() < self.at_once
                && let Some(part) = next.take()
            {
                next = self.parts.next().transpose()?;
                self.counters
                    .begin_part(part.size.max_frames, next.is_none());
                active.push(self.begin(part, begun, &times)?);
                begun += 1;
                active.retain(|sequence| !sequence.is_over);
            }
            if active.is_empty() {
                return Ok(());
            }
            self.keep_the_limit(active.len())?;
            self.step(&mut active, &times)?;
            active.retain(|sequence| !sequence.is_over);
        }
    }

    /// Where memory has become too short for what is being spoken, fewer parts are spoken at once from
    /// the next one on; where it is too short for a single one, speech ends.
    fn keep_the_limit(&mut self, active: usize) -> Result<(), End> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(End::Stopped);
        }
        let Some(limit) = &self.limit else {
            return Ok(());
        };
        // It was too short already, and the parts begun before that are still being spoken.
        if active > self.at_once {
            return Ok(());
        }
        match limit.check(self.model.memory_pool()) {
            Ok(()) => Ok(()),
            Err(_) if active > 1 => {
                self.at_once = 1;
                tracing::info!("memory is short: one part of the text at a time from here on");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a part's text and draws its first latent.
    fn begin(&mut self, part: Part, number: usize, times: &TimeSchedule) -> Result<Sequence, End> {
        let Part { request, index, .. } = part;
        self.send(Frame::Begin { request })?;
        let model = self.model.clone();
        let shared = &model.shared;
        let flow_lm = &shared.flow_lm;
        let mut state = flow_lm.state(self.voices[request].clone(), &shared.memory)?;
        // All that it can take, so that nobody else can take it away on the way.
        state.reserve(part.size.positions())?;
        let temperature = self
            .options
            .temperature
            .unwrap_or(shared.config.default_temperature);
        let mut noise = Noise::for_segment(self.seed, index, temperature, self.options.noise_clamp);
        let first = noise.sample(flow_lm.latent_dim());
        // A prompt comes in one large piece.
        let output = shared.threads.all().install(|| {
            let _span = tracing::debug_span!("prompt").entered();
            let condition = flow_lm.prefill(&mut state, &part.tokens)?;
            flow_lm.sample(condition, first, times)
        })?;
        let mut sequence = Sequence {
            part: number,
            size_limit: part.size.max_frames,
            frames_after_eos: part.frames_after_eos,
            state,
            noise,
            frame: 0,
            eos_frame: None,
            latent: Vec::new(),
            is_over: false,
        };
        self.take(&mut sequence, output.rows().next())?;
        Ok(sequence)
    }

    /// Draws the next latent of each part that is being spoken.
    fn step(&mut self, active: &mut [Sequence], times: &TimeSchedule) -> Result<(), End> {
        let shared = &self.model.shared;
        let flow_lm = &shared.flow_lm;
        let width = flow_lm.latent_dim();
        let mut latents = Vec::with_capacity(active.len() * width);
        let mut noise = Vec::with_capacity(active.len() * width);
        for sequence in &mut *active {
            latents.extend_from_slice(&sequence.latent);
            noise.extend(sequence.noise.sample(width));
        }
        let output = shared.threads.generating().install(|| {
            let _span = tracing::debug_span!("step").entered();
            let mut states: Vec<_> = active
                .iter_mut()
                .map(|sequence| &mut sequence.state)
                .collect();
            let condition = flow_lm.advance(&mut states, &latents)?;
            flow_lm.sample(condition, noise, times)
        })?;
        let mut rows = output.rows();
        for sequence in active {
            self.take(sequence, rows.next())?;
        }
        Ok(())
    }

    /// Takes what a frame drew, or sees that it comes after the end.
    fn take(&self, sequence: &mut Sequence, row: Option<(&[f32], f32)>) -> Result<(), End> {
        let Some((latent, eos_logit)) = row else {
            return Err(Error::Internal("a frame has fewer rows than parts".to_owned()).into());
        };
        let threshold = self
            .options
            .eos_threshold
            .unwrap_or(self.model.shared.config.default_eos_threshold);
        let frame = sequence.frame;
        if sequence.eos_frame.is_none() && frame >= FRAMES_BEFORE_EOS && eos_logit > threshold {
            sequence.eos_frame = Some(frame);
        }
        sequence.is_over = sequence
            .eos_frame
            .is_some_and(|eos| frame >= eos + sequence.frames_after_eos);
        if !sequence.is_over {
            sequence.latent.clear();
            sequence.latent.extend_from_slice(latent);
            self.send(Frame::Latent {
                part: sequence.part,
                latent: latent.to_vec(),
            })?;
            sequence.frame += 1;
            if sequence.frame >= sequence.size_limit {
                sequence.is_over = true;
                if threshold.is_finite() {
                    let frames = sequence.size_limit;
                    tracing::warn!("speech did not end by itself within {frames} frames");
                }
            }
        }
        if sequence.is_over {
            self.send(Frame::End {
                part: sequence.part,
            })?;
        }
        Ok(())
    }

    fn send(&self, frame: Frame) -> Result<(), End> {
        self.frames.send(frame).map_err(|_| End::Stopped)
    }
}

impl FrameOutput {
    /// Each row's latent and end-of-speech logit.
    fn rows(&self) -> impl Iterator<Item = (&[f32], f32)> {
        let width = self.latents.len() / self.eos_logits.len().max(1);
        self.latents
            .chunks_exact(width.max(1))
            .zip(self.eos_logits.iter().copied())
    }
}
