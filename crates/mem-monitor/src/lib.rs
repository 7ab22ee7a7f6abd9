//! Monitors the memory of the current process, live and afterwards.
//!
//! - [`MemoryMonitor`] samples the process on a dedicated thread: resident set, high-water mark,
//!   proportional set, control groups and their limits, memory pressure, and figures of the program
//!   ([`HeapCounter`], [`DevicePool`], [`Category`], or any [`Source`]). Its peak includes spikes
//!   between samples. Samples are stored in a bounded [`History`] and sent to subscribers without
//!   blocking.
//! - A [`Limit`] is compared with the [`Quantity`] that it applies to. [`AlertRule`]s fire once per
//!   crossing, with a message that names a remedy.
//! - [`Breakdown`] splits the resident set by category.
//! - [`MemoryMonitor::prometheus_text`] returns the Prometheus text format.
//! - `SpanLayer` (feature `tracing`) measures the memory of `tracing` spans.
//! - `Recorder` (feature `recordings`) writes CSV, JSON lines and the format of Python's `mprof`.
//! - `Timeline` (features `plots` and `html`) draws SVG and HTML.
//!
//! All features are enabled by default. The feature `sysinfo` adds RSS and machine memory on systems
//! other than Linux.
//!
//! Unknown values are `None`, never 0. A source that panics is not called again; the others are still
//! read.
//!
//! The crate does not attribute allocations to code (use a heap profiler), does not monitor other
//! processes and does not enforce limits.
//!
//! On Linux it reads `/proc` and `/sys/fs/cgroup`. On macOS and Windows it reads the resident set, the
//! address space and the machine's memory, with the feature `sysinfo`.
//!
//! ```
//! use std::time::Duration;
//!
//! use bytesize::ByteSize;
//! use mem_monitor::{MemoryMonitor, Quantity};
//!
//! # fn main() -> Result<(), mem_monitor::Error> {
//! let monitor = MemoryMonitor::builder()
//!     .check_interval(Duration::from_millis(10))
//!     .limit_bytes(Quantity::Rss, 500 << 20)
//!     .build()?;
//! monitor.start_monitoring()?;
//!
//! let work = vec![1u8; 4 << 20];
//!
//! monitor.stop_monitoring();
//! if let Some(peak) = monitor.get_peak_memory_usage() {
//!     println!("peak {}", ByteSize::b(peak));
//! }
//! for alert in monitor.get_memory_alerts() {
//!     eprintln!("{alert}");
//! }
//! # drop(work);
//! # Ok(())
//! # }
//! ```

mod alert;
mod categories;
mod error;
mod event;
mod guard;
mod history;
mod limit;
mod monitor;
mod process;
mod prometheus;
mod reading;
#[cfg(feature = "recordings")]
mod recorder;
mod registration;
mod serialize;
mod source;
#[cfg(feature = "tracing")]
mod span;
#[cfg(feature = "plots")]
mod timeline;
mod trend;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use alert::{Alert, AlertRule, Condition};
pub use categories::{Backing, Breakdown, Category, Row, RowKind};
pub use error::Error;
pub use event::{Event, Sample, Subscription};
pub use guard::Failure;
pub use history::{Bucket, History, Stat};
pub use limit::{Limit, LimitOrigin, Quantity};
#[cfg(feature = "tracing")]
pub use monitor::SpanLayer;
pub use monitor::{MemoryMonitor, MemoryMonitorBuilder};
pub use reading::{DeviceReading, Metric, Pressure, Reading, Stall};
#[cfg(feature = "recordings")]
pub use recorder::{Format, Recorder};
pub use registration::Registration;
pub use source::{
    CgroupSource, DevicePool, HeapCounter, MachineSource, PeakWindow, PressureSource,
    ProcessSource, PssSource, Source, StatusSource,
};
#[cfg(feature = "tracing")]
pub use span::{SpanCall, SpanStats, SpanWindow};
#[cfg(feature = "plots")]
pub use timeline::Timeline;

/// Locks a mutex and ignores poisoning. Values behind this crate's locks are always consistent, and a
/// panic in a closure of the program must not disable the monitor.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Converts bytes to MiB, the unit of mprof's recordings and of the timeline's data.
#[cfg(any(feature = "recordings", feature = "html"))]
fn as_mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Compiles and runs the README's example as a doctest.
#[cfg(all(doctest, feature = "recordings", feature = "html"))]
#[doc = include_str!("../README.md")]
struct Readme;
