//! Progress of a stream.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Progress of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Frames decoded so far.
    pub frames: usize,
    /// Maximum frames of the segments started so far. Speech usually ends well before.
    pub max_frames: usize,
    /// Whether the last segment was started, so that `max_frames` is final.
    pub is_last_segment: bool,
}

/// Counters that the threads update.
#[derive(Debug, Default)]
pub(super) struct Counters {
    frames: AtomicUsize,
    max_frames: AtomicUsize,
    is_last_segment: AtomicBool,
    has_panicked: AtomicBool,
}

impl Counters {
    pub(super) fn add_frames(&self, frames: usize) {
        self.frames.fetch_add(frames, Ordering::Relaxed);
    }

    pub(super) fn start_segment(&self, max_frames: usize, is_last: bool) {
        self.max_frames.fetch_add(max_frames, Ordering::Relaxed);
        self.is_last_segment.store(is_last, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Progress {
        Progress {
            frames: self.frames.load(Ordering::Relaxed),
            max_frames: self.max_frames.load(Ordering::Relaxed),
            is_last_segment: self.is_last_segment.load(Ordering::Relaxed),
        }
    }

    /// Returns a guard that records whether the thread panics while the guard exists.
    pub(super) fn record_panic(&self) -> PanicGuard<'_> {
        PanicGuard(self)
    }

    pub(super) fn has_panicked(&self) -> bool {
        self.has_panicked.load(Ordering::Acquire)
    }
}

pub(super) struct PanicGuard<'a>(&'a Counters);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.has_panicked.store(true, Ordering::Release);
        }
    }
}

crate::traced::trace_fields!(Counters:);
