//! The peak of the whole process during a time window.

use std::fmt;

use super::counts::{Counts, Peak};
use super::heap::{Heap, heap};
use super::roster::Entry;

/// Tracks the process-wide peak of live bytes from its creation on.
///
/// Any number of windows may overlap. Each costs one comparison per update of the peak: at large
/// requests, and whenever a thread has allocated or freed another 16 KiB in small ones.
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
    open: Option<(&'static Heap, &'static Entry<Peak>)>,
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
            .map(|(heap, window)| Counts::window_peak(window) + heap.counts.totals().slack)
    }
}

impl Default for PeakWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PeakWindow {
    fn drop(&mut self) {
        if let Some((_, window)) = self.open {
            window.close();
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
