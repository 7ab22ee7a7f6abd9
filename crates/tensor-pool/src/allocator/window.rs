//! The peak of the whole process during a time window.

use std::fmt;

use super::heap::{Heap, heap};
use super::peaks::WindowId;

/// Tracks the process-wide peak of live bytes from its creation on.
///
/// Any number of windows may overlap, on any thread. Open windows do not slow down allocations.
/// Opening, reading and closing a window takes a lock that no allocation takes. Opening one takes
/// at worst a nanosecond for each open window. In the child of a `fork`, the lock may still be held
/// by a thread of the parent, so open no windows there.
///
/// ```standalone_crate
/// use tensor_pool::{PeakWindow, PoolAllocator};
///
/// #[global_allocator]
/// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
///
/// assert!(ALLOCATOR.install());
/// drop(vec![1_u8; 9 << 20]);
/// let window = PeakWindow::new();
/// drop(vec![1_u8; 3 << 20]);
/// let peak = window.peak_bytes().unwrap();
/// assert!(peak >= (3 << 20) && peak < (4 << 20), "{peak}");
/// ```
#[must_use = "a window tracks only during its lifetime"]
pub struct PeakWindow {
    open: Option<(&'static Heap, WindowId)>,
}

impl PeakWindow {
    /// Opens a window. The window is inactive if no allocator is
    /// [installed](crate::PoolAllocator::install).
    pub fn new() -> Self {
        Self {
            open: heap().map(|heap| (heap, heap.counts.open_window())),
        }
    }

    /// Returns an upper bound of the peak of live bytes since the window was opened. It exceeds the
    /// true peak by at most
    /// [`AllocatorStats::peak_slack_bytes`](crate::AllocatorStats::peak_slack_bytes). Returns
    /// `None` if no allocator was installed when the window was opened.
    #[must_use]
    pub fn peak_bytes(&self) -> Option<u64> {
        self.open
            .map(|(heap, window)| heap.counts.window_peak(window) + heap.counts.totals().slack)
    }
}

impl Default for PeakWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PeakWindow {
    fn drop(&mut self) {
        if let Some((heap, window)) = self.open {
            heap.counts.close_window(window);
        }
    }
}

impl fmt::Debug for PeakWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeakWindow")
            .field("peak_bytes", &self.peak_bytes())
            .finish()
    }
}
