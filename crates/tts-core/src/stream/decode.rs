//! The thread that decodes latents.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use super::generate::Frame;
use super::progress::Counters;
use crate::error::{Error, Result};
use crate::memory::Reservation;
use crate::mimi::MimiDecoderState;
use crate::model::Model;

/// Most frames decoded in one call. Weights are then read once for all of them; more than a few
/// gain nothing and delay the audio.
pub(crate) const FRAMES_PER_CALL: usize = 4;

/// Latents that may wait for each part beyond the first that is spoken at once: as many as the
/// parts that models were trained on have. They are small beside the audio that becomes of them, so
/// parts are decoded when it is their turn to be heard.
pub(crate) const FRAMES_WAITING_PER_PART: usize = 512;

/// Part of a second over which a fresh decoder's first samples are faded in: it starts with a
/// small step, heard as a click. As in the reference.
const FADE_IN_PER_SECOND: usize = 200;

/// Audio of one of the texts.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) request: usize,
    pub(super) samples: Vec<f32>,
}

pub(super) struct Decoder {
    pub(super) model: Model,
    pub(super) frames: Receiver<Frame>,
    pub(super) chunks: SyncSender<Result<Chunk>>,
    /// Frames that are taken from the generator before they can be decoded.
    pub(super) max_waiting: usize,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) counters: Arc<Counters>,
    /// Held until the speech is over.
    pub(super) _reservation: Arc<Reservation>,
}

/// A part whose latents have come, or some of them.
#[derive(Debug)]
struct Waiting {
    request: usize,
    latents: VecDeque<Vec<f32>>,
    has_ended: bool,
}

/// The parts that are not decoded yet, in the order in which they are heard.
#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<Waiting>,
    /// The number of the first of them.
    first: usize,
    latents: usize,
    failure: Option<Error>,
}

/// Nobody listens any more.
struct Unheard;

impl Decoder {
    /// Decodes until the generator ends or nobody listens.
    pub(super) fn run(self) {
        let mut queue = Queue::default();
        let mut state: Option<MimiDecoderState> = None;
        // A text that was cut off; what comes of it after the cut is not heard.
        let mut cut = None;
        loop {
            while queue.latents < self.max_waiting && queue.failure.is_none() {
                match self.frames.try_recv() {
                    Ok(frame) => queue.put(frame),
                    Err(_) => break,
                }
            }
            let is_broken = queue.failure.is_some();
            if let Some(part) = queue.parts.front_mut() {
                let is_heard = cut != Some(part.request);
                if is_heard && !part.latents.is_empty() {
                    let count = part.latents.len().min(FRAMES_PER_CALL);
                    let latents = part.latents.drain(..count).flatten().collect();
                    queue.latents -= count;
                    if self
                        .decode(part.request, latents, count, &mut state)
                        .is_err()
                    {
                        return;
                    }
                    continue;
                }
                if part.has_ended || is_broken || !is_heard {
                    if !part.has_ended {
                        cut = Some(part.request);
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
                Ok(frame) => queue.put(frame),
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
    ) -> Result<(), Unheard> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Unheard);
        }
        let shared = &self.model.shared;
        let is_first = state.is_none();
        let samples = shared.threads.decoding().install(|| {
            let _span = tracing::debug_span!("decode").entered();
            let state = match state {
                Some(state) => state,
                None => state.insert(shared.decoder.state(1, &shared.memory)?),
            };
            shared.decoder.decode(latents, state)
        });
        let has_failed = samples.is_err();
        let chunk = samples.map(|mut samples| {
            if is_first {
                fade_in(&mut samples, self.model.sample_rate_hz());
            }
            Chunk { request, samples }
        });
        self.counters.add_frames(frames);
        if self.chunks.send(chunk).is_err() || has_failed {
            return Err(Unheard);
        }
        Ok(())
    }
}

impl Queue {
    fn put(&mut self, frame: Frame) {
        match frame {
            Frame::Begin { request } => self.parts.push_back(Waiting {
                request,
                latents: VecDeque::new(),
                has_ended: false,
            }),
            Frame::Latent { part, latent } => {
                self.parts[part - self.first].latents.push_back(latent);
                self.latents += 1;
            }
            Frame::End { part } => self.parts[part - self.first].has_ended = true,
            Frame::Failed(error) => self.failure = Some(error),
        }
    }

    fn pop(&mut self) {
        if let Some(part) = self.parts.pop_front() {
            self.latents -= part.latents.len();
            self.first += 1;
        }
    }
}

/// Raises the first 5 ms from silence, linearly.
fn fade_in(samples: &mut [f32], sample_rate_hz: u32) {
    let count = sample_rate_hz as usize / FADE_IN_PER_SECOND;
    let last = count.saturating_sub(1).max(1) as f32;
    for (index, sample) in samples.iter_mut().take(count).enumerate() {
        *sample *= index as f32 / last;
    }
}
