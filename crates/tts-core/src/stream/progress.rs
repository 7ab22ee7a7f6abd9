//! How far a stream is, for whoever watches.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How far a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Frames whose audio was made.
    pub frames: usize,
    /// Most frames that the parts of the text begun so far can take. Speech usually ends well
    /// before.
    pub max_frames: usize,
    /// Whether the last part of the text was begun, so that `max_frames` is final.
    pub is_last_part: bool,
}

/// What the threads count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    frames: AtomicUsize,
    max_frames: AtomicUsize,
    last_part: AtomicBool,
}

impl Counters {
    pub(super) fn add_frames(&self, frames: usize) {
        self.frames.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn begin_part(&self, max_frames: usize, is_last: bool) {
        self.max_frames.fetch_add(max_frames, Ordering::Relaxed);
        self.last_part.store(is_last, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Progress {
        Progress {
            frames: self.frames.load(Ordering::Relaxed),
            max_frames: self.max_frames.load(Ordering::Relaxed),
            is_last_part: self.last_part.load(Ordering::Relaxed),
        }
    }
}
