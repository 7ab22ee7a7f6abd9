//! Sources of readings.

use std::{any::type_name, fs, path::Path, time::Duration};

use crate::Reading;

mod cgroup;
mod counters;
mod machine;
mod pressure;
mod proc_fs;

pub use cgroup::CgroupSource;
pub use counters::{DevicePool, HeapCounter, PeakWindow};
pub use machine::{MachineSource, ProcessSource};
pub use pressure::PressureSource;
pub use proc_fs::{PssSource, StatusSource};

pub(crate) use counters::CountedBytes;
pub(crate) use machine::reset_high_water;

/// A source of figures for a [`Reading`].
///
/// A source sets the metrics it can read and leaves the others unchanged; values that cannot be read are
/// unknown. It is called on the sampling thread and on threads that request a sample. A source that panics
/// is not called again; see [`MemoryMonitor::failures`](crate::MemoryMonitor::failures).
///
/// ```
/// use mem_monitor::{Metric, Reading, Source};
///
/// struct Arena;
///
/// impl Source for Arena {
///     fn read(&self, reading: &mut Reading) {
///         reading.set_bytes(Metric::Heap, 3 << 20);
///     }
/// }
///
/// let mut reading = Reading::default();
/// Arena.read(&mut reading);
/// assert_eq!(reading.usage_bytes(), Some(3 << 20));
/// ```
pub trait Source: Send + Sync {
    /// Sets the current values.
    fn read(&self, reading: &mut Reading);

    /// Returns the name for messages; by default the type's.
    fn name(&self) -> &str {
        type_name::<Self>()
    }

    /// Returns the shortest time between two reads by a monitor, for expensive sources. In between,
    /// the monitor reuses the last values.
    fn min_interval(&self) -> Duration {
        Duration::ZERO
    }
}

/// Returns the path under another root: `/proc/x` under `/fixture` is `/fixture/proc/x`.
fn under(root: &Path, path: impl AsRef<Path>) -> std::path::PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Reads a small text file; `None` on any error.
fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}
