//! One segment that is being generated.

use super::queue::Sampling;
use crate::flow_lm::FlowLmState;
use crate::noise::Noise;

/// Frames in which the end of speech is not detected: before the first word, the logit of some voices
/// exceeds the threshold. As in the reference.
const FRAMES_BEFORE_EOS: usize = 6;

/// A segment that is being generated: one row of the batch.
pub(super) struct Sequence {
    /// Index of the segment over all requests.
    pub(super) segment: usize,
    pub(super) max_frames: usize,
    pub(super) frames_after_eos: usize,
    pub(super) eos_threshold: f32,
    pub(super) state: FlowLmState,
    pub(super) noise: Noise,
    /// The last latent.
    pub(super) latent: Vec<f32>,
    /// Frames generated so far.
    frame: usize,
    eos_frame: Option<usize>,
    pub(super) is_done: bool,
}

impl Sequence {
    pub(super) fn new(
        segment: usize,
        max_frames: usize,
        frames_after_eos: usize,
        sampling: &Sampling,
        state: FlowLmState,
        noise: Noise,
    ) -> Self {
        Self {
            segment,
            max_frames,
            frames_after_eos: sampling.frames_after_eos.unwrap_or(frames_after_eos),
            eos_threshold: sampling.eos_threshold,
            state,
            noise,
            latent: Vec::new(),
            frame: 0,
            eos_frame: None,
            is_done: false,
        }
    }

    /// Accepts a generated frame. Returns whether it is part of the speech: `false` if it comes after
    /// the end.
    pub(super) fn accept(&mut self, latent: &[f32], eos_logit: f32) -> bool {
        let frame = self.frame;
        let is_end = frame >= FRAMES_BEFORE_EOS && eos_logit > self.eos_threshold;
        if self.eos_frame.is_none() && is_end {
            self.eos_frame = Some(frame);
        }
        if self
            .eos_frame
            .is_some_and(|eos| frame >= eos + self.frames_after_eos)
        {
            self.is_done = true;
            return false;
        }
        self.latent.clear();
        self.latent.extend_from_slice(latent);
        self.frame += 1;
        if self.frame >= self.max_frames {
            self.is_done = true;
            if self.eos_threshold.is_finite() {
                let frames = self.max_frames;
                tracing::warn!("no end of speech was detected within {frames} frames");
            }
        }
        true
    }
}
