//! The segments of a job's requests, in order.

use std::sync::Arc;

use crate::error::Result;
use crate::text::{Segment, Segments};
use crate::voice::VoiceKv;

/// How latents of a request are sampled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampling {
    pub(crate) seed: u64,
    /// Variance of the noise.
    pub(crate) temperature: f32,
    pub(crate) noise_clamp: Option<f32>,
    pub(crate) eos_threshold: f32,
    /// Overrides the segments' frames after the end of speech.
    pub(crate) frames_after_eos: Option<usize>,
}

/// A text of a job with its voice.
pub(crate) struct JobRequest {
    pub(crate) voice: Arc<VoiceKv>,
    pub(crate) segments: Segments,
    pub(crate) sampling: Sampling,
}

/// A segment with its request.
pub(super) struct QueuedSegment {
    /// Index of the request.
    pub(super) request: usize,
    /// Index of the segment within the request.
    pub(super) index: u64,
    pub(super) segment: Segment,
    pub(super) voice: Arc<VoiceKv>,
    pub(super) sampling: Sampling,
}

/// Iterates over the segments of all requests. A text that is cut on demand is cut as the queue
/// advances.
pub(super) struct SegmentQueue {
    requests: std::vec::IntoIter<JobRequest>,
    current: Option<JobRequest>,
    request: usize,
    index: u64,
}

impl SegmentQueue {
    pub(super) fn new(requests: Vec<JobRequest>) -> Self {
        let mut requests = requests.into_iter();
        Self {
            current: requests.next(),
            requests,
            request: 0,
            index: 0,
        }
    }
}

impl Iterator for SegmentQueue {
    type Item = Result<QueuedSegment>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let current = self.current.as_mut()?;
            if let Some(segment) = current.segments.next() {
                let index = self.index;
                self.index += 1;
                let queued = segment.map(|segment| QueuedSegment {
                    request: self.request,
                    index,
                    segment,
                    voice: current.voice.clone(),
                    sampling: current.sampling,
                });
                return Some(queued.map_err(Into::into));
            }
            self.current = self.requests.next();
            self.request += 1;
            self.index = 0;
        }
    }
}
