//! The thread that decodes latents to audio.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::channel::{Chunk, ChunkSender, Disconnected};
use super::generator::Frame;
use super::progress::Counters;
use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::error::Error;
use crate::ledger::Admission;
use crate::mimi::MimiDecoderState;

/// Maximum frames decoded in one call. The weights are then read once for all of them. More frames gain
/// almost nothing and delay the audio.
pub(crate) const FRAMES_PER_CALL: usize = 4;

/// Maximum pending latents for each segment of a batch: the number of frames of the segments that
/// models were trained on. Latents are small compared to their audio, so a segment is decoded only
/// when its audio is next in the output.
pub(crate) const PENDING_FRAMES_PER_SEGMENT: usize = 512;

/// Fraction of a second (1 / 200) over which a new decoder's first samples are faded in: they begin with
/// a small discontinuity that is audible as a click. As in the reference.
const FADE_IN_PER_SECOND: usize = 200;

pub(super) struct Decoder {
    pub(super) engine: Arc<Engine>,
    pub(super) frames: Receiver<Frame>,
    pub(super) chunks: ChunkSender,
    /// Maximum frames taken from the generator before they can be decoded.
    pub(super) max_pending: usize,
    pub(super) cancel: CancelToken,
    pub(super) counters: Arc<Counters>,
    /// Its bytes stay reserved until the decoder ends.
    pub(super) _admission: Arc<Admission>,
}

/// A segment with latents that are not decoded yet.
#[derive(Debug)]
struct PendingSegment {
    request: usize,
    latents: VecDeque<Vec<f32>>,
    has_ended: bool,
}

/// The segments that are not decoded yet, in the order of the output.
#[derive(Debug, Default)]
struct Queue {
    segments: VecDeque<PendingSegment>,
    /// Index of the first segment in the queue.
    first: usize,
    latents: usize,
    failure: Option<Error>,
}

impl Decoder {
    /// Decodes until the generator ends or the stream is cancelled.
    pub(super) fn run(&mut self) {
        let mut queue = Queue::default();
        let mut state: Option<MimiDecoderState> = None;
        // A request whose audio is incomplete after a failure. Its later segments are discarded.
        let mut incomplete = None;
        loop {
            while queue.latents < self.max_pending && queue.failure.is_none() {
                match self.frames.try_recv() {
                    Ok(frame) => queue.push(frame),
                    Err(_) => break,
                }
            }
            let has_failed = queue.failure.is_some();
            if let Some(segment) = queue.segments.front_mut() {
                let is_discarded = incomplete == Some(segment.request);
                if !is_discarded && !segment.latents.is_empty() {
                    let request = segment.request;
                    let count = segment.latents.len().min(FRAMES_PER_CALL);
                    let latents = segment.latents.drain(..count).flatten().collect();
                    queue.latents -= count;
                    if self.decode(request, latents, count, &mut state).is_err() {
                        return;
                    }
                    continue;
                }
                if segment.has_ended || has_failed || is_discarded {
                    if !segment.has_ended {
                        incomplete = Some(segment.request);
                    }
                    queue.pop();
                    state = None;
                    continue;
                }
            }
            if let Some(error) = queue.failure.take() {
                let _ = self.chunks.send(Err(error));
                return;
            }
            match self.frames.recv() {
                Ok(frame) => queue.push(frame),
                Err(_) => return,
            }
        }
    }

    fn decode(
        &self,
        request: usize,
        latents: Vec<f32>,
        frames: usize,
        state: &mut Option<MimiDecoderState>,
    ) -> Result<(), Disconnected> {
        if self.cancel.is_cancelled() {
            return Err(Disconnected);
        }
        let engine = &self.engine;
        let is_first = state.is_none();
        let samples = engine.threads.decoding().install(|| {
            let _span = tracing::debug_span!("decode").entered();
            let state = match state {
                Some(state) => state,
                None => state.insert(engine.decoder.state(1, &engine.memory)?),
            };
            engine.decoder.decode(latents, state)
        });
        let has_failed = samples.is_err();
        let chunk = samples.map(|mut samples| {
            if is_first {
                fade_in(&mut samples, engine.sample_rate_hz());
            }
            Chunk { request, samples }
        });
        self.counters.add_frames(frames);
        self.chunks.send(chunk)?;
        match has_failed {
            true => Err(Disconnected),
            false => Ok(()),
        }
    }
}

impl Queue {
    fn push(&mut self, frame: Frame) {
        match frame {
            Frame::Start { request } => self.segments.push_back(PendingSegment {
                request,
                latents: VecDeque::new(),
                has_ended: false,
            }),
            Frame::Latent { segment, latent } => {
                self.segments[segment - self.first]
                    .latents
                    .push_back(latent);
                self.latents += 1;
            }
            Frame::End { segment } => self.segments[segment - self.first].has_ended = true,
            Frame::Failed(error) => self.failure = Some(error),
        }
    }

    fn pop(&mut self) {
        if let Some(segment) = self.segments.pop_front() {
            self.latents -= segment.latents.len();
            self.first += 1;
        }
    }
}

/// Raises the first 5 ms linearly from silence.
fn fade_in(samples: &mut [f32], sample_rate_hz: u32) {
    let count = sample_rate_hz as usize / FADE_IN_PER_SECOND;
    let last = count.saturating_sub(1).max(1) as f32;
    for (index, sample) in samples.iter_mut().take(count).enumerate() {
        *sample *= index as f32 / last;
    }
}
