//! The thread that decodes latents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use super::generate::Frame;
use super::progress::Counters;
use crate::error::Result;
use crate::mimi::MimiDecoderState;
use crate::model::Model;

/// Most frames decoded in one call. Weights are then read once for all of them; more than a few
/// gain nothing and delay the audio.
const FRAMES_PER_CALL: usize = 4;

/// Part of a second over which a fresh decoder's first samples are faded in: it starts with a
/// small step, heard as a click. As in the reference.
const FADE_IN_PER_SECOND: usize = 200;

pub(super) struct Decoder {
    pub(super) model: Model,
    pub(super) frames: Receiver<Frame>,
    pub(super) chunks: SyncSender<Result<Vec<f32>>>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) counters: Arc<Counters>,
}

impl Decoder {
    /// Decodes until the generator ends or nobody listens.
    pub(super) fn run(self) {
        let shared = &self.model.shared;
        let mut state: Option<MimiDecoderState> = None;
        let mut waiting = None;
        while let Some(frame) = waiting.take().or_else(|| self.frames.recv().ok()) {
            let mut latents = match frame {
                Frame::Begin => {
                    state = None;
                    continue;
                }
                Frame::Failed(error) => {
                    let _ = self.chunks.send(Err(error));
                    return;
                }
                Frame::Latent(latents) => latents,
            };
            let mut frames = 1;
            while frames < FRAMES_PER_CALL {
                match self.frames.try_recv() {
                    Ok(Frame::Latent(more)) => {
                        latents.extend(more);
                        frames += 1;
                    }
                    Ok(other) => {
                        waiting = Some(other);
                        break;
                    }
                    Err(_) => break,
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let is_first = state.is_none();
            let samples = shared.threads.decoding().install(|| {
                let _span = tracing::debug_span!("decode").entered();
                let state = match &mut state {
                    Some(state) => state,
                    None => state.insert(shared.decoder.state(1, &shared.memory)?),
                };
                shared.decoder.decode(latents, state)
            });
            let failed = samples.is_err();
            let samples = samples.map(|mut samples| {
                if is_first {
                    fade_in(&mut samples, self.model.sample_rate_hz());
                }
                samples
            });
            self.counters.add_frames(frames);
            if self.chunks.send(samples).is_err() || failed {
                return;
            }
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
