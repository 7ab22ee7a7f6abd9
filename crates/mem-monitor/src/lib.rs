//! Watches what memory a process uses, live and afterwards.
//!
//! - [`MemoryMonitor`] samples the process in a thread of its own: resident set, high-water mark,
//!   proportional set, control groups and their limits, memory pressure, and whatever the program
//!   plugs in ([`HeapCounter`], [`DevicePool`], [`Part`], or a [`Source`] of its own). It knows the
//!   peak even where that lies between two samples, keeps a [`History`] in bounded space, and hands
//!   samples to subscribers without ever waiting for one.
//! - [`AlertRule`]s tell once, in a sentence a person can act on, when memory runs short.
//! - [`SpanLayer`] turns `tracing` spans into a memory profile by phase.
//! - [`Recorder`] writes CSV, JSON lines and the files of Python's `mprof`;
//!   [`MemoryMonitor::prometheus_text`] is Prometheus' exposition text; [`Timeline`] is a picture as SVG
//!   or HTML.
//! - [`Breakdown`] says where the resident set's bytes are.
//!
//! What cannot be known is `None`, never 0, and no source ever fails.
//!
//! It does not say which line of code allocated what (a heap profiler does), does not watch other
//! processes, and does not limit anything: it measures and tells.
//!
//! Linux is read from `/proc` and `/sys/fs/cgroup`; on macOS and Windows there are the resident set,
//! the address space and the machine's memory, and everything that is plugged in.
//!
//! ```
//! use std::time::Duration;
//! use bytesize::ByteSize;
//! use mem_monitor::MemoryMonitor;
//!
//! # fn main() -> Result<(), mem_monitor::Error> {
//! let monitor = MemoryMonitor::builder()
//!     .check_interval(Duration::from_millis(10))
//!     .limit_bytes(500 << 20)
//!     .build()?;
//! monitor.start_monitoring()?;
//!
//! let work = vec![1u8; 4 << 20];
//!
//! monitor.stop_monitoring();
//! if let Some(peak) = monitor.get_peak_memory_usage() {
//!     println!("at most {}", ByteSize::b(peak));
//! }
//! for alert in monitor.get_memory_alerts() {
//!     eprintln!("{alert}");
//! }
//! # drop(work);
//! # Ok(())
//! # }
//! ```

mod alert;
mod error;
mod event;
mod history;
mod limit;
mod monitor;
mod parts;
mod prometheus;
mod reading;
mod recorder;
mod shared;
mod source;
mod span;
mod timeline;
mod trend;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use alert::{Alert, AlertRule, Condition};
pub use error::Error;
pub use event::{Event, Sample, Subscription};
pub use history::{Bucket, History, Stat};
pub use limit::{Limit, LimitOrigin};
pub use monitor::{MemoryMonitor, MemoryMonitorBuilder};
pub use parts::{Backing, Breakdown, Part, Row, RowKind};
pub use reading::{DeviceReading, Metric, Pressure, Reading, Stall};
pub use recorder::{Format, Recorder};
pub use source::{
    CgroupSource, DevicePool, HeapCounter, MachineSource, PeakWindow, PressureSource,
    ProcessSource, PssSource, Source, StatusSource,
};
pub use span::{Counted, SpanCall, SpanLayer, SpanStats, SpanWindow};
pub use timeline::Timeline;

/// Locks, whatever happened to another holder: every value behind this crate's locks is whole
/// between two statements, and a monitor must not fall over because a plugged-in closure panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes in MiB, the unit of mprof's recordings and of the timeline's data.
fn as_mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The README's example is compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
