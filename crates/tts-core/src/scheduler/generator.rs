//! The thread that generates latents.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tensor_pool::Reservation;

use super::progress::Counters;
use super::queue::{QueuedSegment, SegmentQueue};
use super::sequence::Sequence;
use crate::cancel::{CancelToken, Cancelled};
use crate::engine::Engine;
use crate::error::{Error, Result, StreamError};
use crate::flow_lm::{FrameOutput, TimeSchedule};
use crate::ledger::Admission;
use crate::noise::Noise;

/// What the generator sends to the decoder. Segment indices run over all requests, in the order of
/// generation and output.
#[derive(Debug)]
pub(super) enum Frame {
    /// The next segment of a request starts.
    Start { request: usize },
    /// The next latent of a segment.
    Latent { segment: usize, latent: Vec<f32> },
    /// A segment has no more latents.
    End { segment: usize },
    /// Generation failed.
    Failed(Error),
}

pub(super) struct Generator {
    pub(super) engine: Arc<Engine>,
    pub(super) segments: SegmentQueue,
    /// Maximum number of segments generated together.
    pub(super) max_batch_size: usize,
    pub(super) solver_steps: usize,
    /// Admits one segment at a time.
    pub(super) admission: Arc<Admission>,
    /// Reservations of further segments.
    pub(super) slots: Vec<Reservation>,
    /// Bytes of each.
    pub(super) slot_bytes: u64,
    pub(super) cancel: CancelToken,
    pub(super) counters: Arc<Counters>,
    pub(super) frames: SyncSender<Frame>,
}

/// Why the generator ends early.
enum End {
    Failed(Error),
    /// The stream was cancelled, or the decoder has ended.
    Cancelled,
}

impl<E: Into<Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Generator {
    /// Generates every segment.
    pub(super) fn run(&mut self) {
        if let Err(End::Failed(error)) = self.generate() {
            // Sending fails only if the stream was cancelled.
            let _ = self.frames.send(Frame::Failed(error));
        }
    }

    fn generate(&mut self) -> Result<(), End> {
        let _span = tracing::debug_span!("generate").entered();
        let engine = self.engine.clone();
        let steps = self.solver_steps;
        let times = engine
            .threads
            .all()
            .install(|| engine.flow_lm.time_schedule(steps));
        let mut next = self.segments.next().transpose()?;
        let mut started = 0;
        let mut active: Vec<Sequence> = Vec::with_capacity(self.max_batch_size);
        loop {
            // A segment that ends makes room for the next one.
            while next.is_some()
                && self.has_slot(active.len())
                && let Some(segment) = next.take()
            {
                next = self.segments.next().transpose()?;
                self.counters
                    .start_segment(segment.segment.max_frames, next.is_none());
                active.push(self.start(segment, started, &times)?);
                started += 1;
                active.retain(|sequence| !sequence.is_done);
            }
            if next.is_none() || self.max_batch_size == 1 {
                // Other work may use the memory of slots that are not needed any more.
                self.slots.truncate(active.len().saturating_sub(1));
            }
            if active.is_empty() {
                return Ok(());
            }
            self.check_limit(active.len())?;
            self.step(&mut active, &times)?;
            active.retain(|sequence| !sequence.is_done);
        }
    }

    /// Whether the memory of one more segment is reserved, or can be.
    fn has_slot(&mut self, active: usize) -> bool {
        if active >= self.max_batch_size {
            return false;
        }
        if active > self.slots.len() {
            self.slots
                .extend(self.admission.reserve_slot(self.slot_bytes));
        }
        active <= self.slots.len()
    }

    fn check_cancelled(&self) -> Result<(), End> {
        self.cancel.check().map_err(|Cancelled| End::Cancelled)
    }

    /// Checks the memory limit. If it is exceeded, the batch size is one from the next segment on; if it
    /// already is one, generation ends.
    fn check_limit(&mut self, active: usize) -> Result<(), End> {
        self.check_cancelled()?;
        // The batch size was reduced, and the segments started before are still being generated.
        if active > self.max_batch_size {
            return Ok(());
        }
        match self.admission.check() {
            Ok(()) => Ok(()),
            Err(_) if active > 1 => {
                self.max_batch_size = 1;
                tracing::info!("memory is short: the batch size is 1 from the next segment on");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Prefills a segment's text and generates its first latent.
    fn start(
        &mut self,
        queued: QueuedSegment,
        number: usize,
        times: &TimeSchedule,
    ) -> Result<Sequence, End> {
        let QueuedSegment {
            request,
            index,
            segment,
            voice,
            sampling,
        } = queued;
        // A prefill takes much longer than a frame, and a batch starts with several.
        self.check_cancelled()?;
        self.send(Frame::Start { request })?;
        if !segment.unspeakable.is_empty() {
            let characters: String = segment.unspeakable.iter().collect();
            tracing::warn!("the model has no tokens for these characters: {characters:?}");
        }
        let engine = self.engine.clone();
        let flow_lm = &engine.flow_lm;
        let mut state = flow_lm.state(voice, &engine.memory)?;
        // The maximum, so that other code cannot take the memory while the segment is generated.
        state.reserve(segment.size().positions())?;
        let mut noise = Noise::for_segment(
            sampling.seed,
            index,
            sampling.temperature,
            sampling.noise_clamp,
        );
        let first = noise.sample(flow_lm.latent_dim());
        // A prompt is one large batch of positions, so all threads compute it.
        let output = engine.threads.all().install(|| {
            let _span = tracing::debug_span!("prompt").entered();
            let condition = flow_lm.prefill(&mut state, &segment.tokens)?;
            flow_lm.sample(condition, first, times)
        })?;
        let mut sequence = Sequence::new(
            number,
            segment.max_frames,
            segment.frames_after_eos,
            &sampling,
            state,
            noise,
        );
        self.accept(&mut sequence, output.rows().next())?;
        Ok(sequence)
    }

    /// Generates the next latent of each active segment.
    fn step(&mut self, active: &mut [Sequence], times: &TimeSchedule) -> Result<(), End> {
        let engine = &self.engine;
        let flow_lm = &engine.flow_lm;
        let width = flow_lm.latent_dim();
        let mut latents = Vec::with_capacity(active.len() * width);
        let mut noise = Vec::with_capacity(active.len() * width);
        for sequence in &mut *active {
            latents.extend_from_slice(&sequence.latent);
            noise.extend(sequence.noise.sample(width));
        }
        let output = engine.threads.generating().install(|| {
            let _span = tracing::debug_span!("frame").entered();
            let mut states: Vec<_> = active
                .iter_mut()
                .map(|sequence| &mut sequence.state)
                .collect();
            let condition = flow_lm.advance(&mut states, &latents)?;
            flow_lm.sample(condition, noise, times)
        })?;
        let mut rows = output.rows();
        for sequence in active {
            self.accept(sequence, rows.next())?;
        }
        Ok(())
    }

    /// Sends a generated frame to the decoder, and the end of a segment after its last frame.
    fn accept(&self, sequence: &mut Sequence, row: Option<(&[f32], f32)>) -> Result<(), End> {
        let Some((latent, eos_logit)) = row else {
            return Err(StreamError::MissingRow.into());
        };
        let segment = sequence.segment;
        if sequence.accept(latent, eos_logit) {
            let latent = latent.to_vec();
            self.send(Frame::Latent { segment, latent })?;
        }
        if sequence.is_done {
            self.send(Frame::End { segment })?;
        }
        Ok(())
    }

    fn send(&self, frame: Frame) -> Result<(), End> {
        self.frames.send(frame).map_err(|_| End::Cancelled)
    }
}

impl FrameOutput {
    /// Iterates over each row's latent and end-of-speech logit.
    fn rows(&self) -> impl Iterator<Item = (&[f32], f32)> {
        let width = self.latents.len() / self.eos_logits.len().max(1);
        self.latents
            .chunks_exact(width.max(1))
            .zip(self.eos_logits.iter().copied())
    }
}
