//! Counters of the program: its heap and its device pools.

use std::{fmt, sync::Arc};

use super::Source;
use crate::{DeviceReading, Metric, Reading, guard::Guard};

type Read = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Returns the peak of live bytes since the window was opened. Dropping it closes the window.
pub type PeakWindow = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// A heap counter of the program, such as a counting global allocator.
///
/// Only the live bytes are required. Each further closure makes a figure exact that is otherwise
/// known only at samples. If a closure panics, none of them is called again.
///
/// A counter counts requested bytes: memory that is reserved but never touched is included. The resident
/// set has the touched bytes.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use mem_monitor::{HeapCounter, MemoryMonitor};
///
/// static LIVE: AtomicU64 = AtomicU64::new(0); // updated by the program's allocator
/// static PEAK: AtomicU64 = AtomicU64::new(0);
///
/// # fn main() -> Result<(), mem_monitor::Error> {
/// let heap = HeapCounter::new(|| Some(LIVE.load(Relaxed)))
///     .with_peak(|| Some(PEAK.load(Relaxed)))
///     .with_reset(|| PEAK.store(LIVE.load(Relaxed), Relaxed));
/// let monitor = MemoryMonitor::builder().heap(heap).build()?;
/// # Ok(())
/// # }
/// ```
pub struct HeapCounter {
    live: Read,
    peak: Option<Read>,
    slack: Option<Read>,
    reset: Option<Box<dyn Fn() + Send + Sync>>,
    window: Option<Box<dyn Fn() -> PeakWindow + Send + Sync>>,
    guard: Guard,
}

impl HeapCounter {
    /// Creates a counter from a closure that returns the live bytes, or `None` if unknown.
    pub fn new(live: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self {
            live: Box::new(live),
            peak: None,
            slack: None,
            reset: None,
            window: None,
            guard: Guard::default(),
        }
    }

    /// Sets the closure that returns the counter's peak, which includes spikes between samples.
    pub fn with_peak(mut self, peak: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        self.peak = Some(Box::new(peak));
        self
    }

    /// Sets the closure that resets the counter's peak to the live bytes. Called by
    /// [`MemoryMonitor::reset`](crate::MemoryMonitor::reset).
    pub fn with_reset(mut self, reset: impl Fn() + Send + Sync + 'static) -> Self {
        self.reset = Some(Box::new(reset));
        self
    }

    /// Sets the closure that opens a [`PeakWindow`], which makes the peak of every span exact.
    pub fn with_peak_window(
        mut self,
        open: impl Fn() -> PeakWindow + Send + Sync + 'static,
    ) -> Self {
        self.window = Some(Box::new(open));
        self
    }

    /// Sets the closure that returns the bytes held by the allocator beyond the live bytes: padding,
    /// free lists, retained blocks.
    pub fn with_slack(mut self, slack: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        self.slack = Some(Box::new(slack));
        self
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Calls a closure of the counter unless one of them has panicked.
    fn call<T>(&self, closure: impl FnOnce() -> T) -> Option<T> {
        self.guard.call(|| "the heap counter".to_owned(), closure)
    }

    pub(crate) fn live(&self) -> Option<u64> {
        self.call(&self.live)?
    }

    pub(crate) fn peak(&self) -> Option<u64> {
        self.call(self.peak.as_ref()?)?
    }

    pub(crate) fn reset_peak(&self) {
        if let Some(reset) = &self.reset {
            self.call(reset);
        }
    }
}

#[cfg(feature = "tracing")]
impl HeapCounter {
    pub(crate) fn open_window(&self) -> Option<PeakWindow> {
        self.call(self.window.as_ref()?)
    }

    /// Returns the peak of a window of this counter.
    pub(crate) fn window_peak(&self, window: &PeakWindow) -> Option<u64> {
        self.call(window)?
    }
}

impl Source for HeapCounter {
    fn read(&self, reading: &mut Reading) {
        reading.set_if_known(Metric::Heap, self.live());
        reading.set_if_known(Metric::HeapPeak, self.peak());
        let slack = self.slack.as_ref().and_then(|slack| self.call(slack)?);
        reading.set_if_known(Metric::AllocatorSlack, slack);
    }
}

/// The total of the program's own accounting.
pub(crate) struct CountedBytes(pub(crate) Read);

impl Source for CountedBytes {
    fn read(&self, reading: &mut Reading) {
        reading.set_if_known(Metric::Counted, (self.0)());
    }

    fn name(&self) -> &str {
        "the closure of counted bytes"
    }
}

impl fmt::Debug for HeapCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapCounter")
            .field("live", &self.live())
            .field("peak", &self.peak())
            .finish_non_exhaustive()
    }
}

/// A memory pool of a device, such as a GPU.
///
/// ```
/// use mem_monitor::{DevicePool, MemoryMonitor};
///
/// # fn main() -> Result<(), mem_monitor::Error> {
/// let pool = DevicePool::new("gpu0", || Some(40 << 20))
///     .with_reserved(|| Some(64 << 20));
/// let monitor = MemoryMonitor::builder().source(pool).build()?;
/// let reading = &monitor.sample().reading;
/// assert_eq!(reading.devices[0].reserved_bytes, Some(64 << 20));
/// # Ok(())
/// # }
/// ```
pub struct DevicePool {
    name: Arc<str>,
    in_use: Read,
    reserved: Option<Read>,
}

impl DevicePool {
    /// Creates a pool from a closure that returns the bytes used by live objects.
    pub fn new(
        name: impl Into<Arc<str>>,
        in_use: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            in_use: Box::new(in_use),
            reserved: None,
        }
    }

    /// Sets the closure that returns the bytes reserved on the device.
    pub fn with_reserved(
        mut self,
        reserved: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.reserved = Some(Box::new(reserved));
        self
    }
}

impl Source for DevicePool {
    fn read(&self, reading: &mut Reading) {
        let in_use = (self.in_use)();
        if let Some(bytes) = in_use {
            let others = reading.bytes(Metric::Device).unwrap_or_default();
            reading.set_bytes(Metric::Device, others.saturating_add(bytes));
        }
        reading.devices.push(DeviceReading {
            name: self.name.clone(),
            in_use_bytes: in_use,
            reserved_bytes: self.reserved.as_ref().and_then(|reserved| reserved()),
        });
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for DevicePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevicePool")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
