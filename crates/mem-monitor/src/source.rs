//! Where readings come from.

use std::{fs, path::Path, time::Duration};

use crate::Reading;

mod cgroup;
mod counters;
mod machine;
mod pressure;
mod proc_fs;
#[cfg(target_os = "linux")]
mod statm;

pub use cgroup::CgroupSource;
pub use counters::{DevicePool, HeapCounter, PeakWindow};
pub use machine::{MachineSource, ProcessSource};
pub use pressure::PressureSource;
pub use proc_fs::{PssSource, StatusSource};

pub(crate) use machine::reset_high_water;

/// Something that knows a part of a [`Reading`].
///
/// A source fills in what it knows now and leaves the rest alone; it neither fails nor panics, since
/// what cannot be read is simply unknown. It is called by the sampling thread and by whoever asks
/// for a sample.
///
/// ```
/// use mem_monitor::{Metric, Reading, Source};
///
/// struct Arena;
///
/// impl Source for Arena {
///     fn read(&self, reading: &mut Reading) {
///         reading.set_bytes(Metric::Heap, Some(3 << 20));
///     }
/// }
///
/// let mut reading = Reading::default();
/// Arena.read(&mut reading);
/// assert_eq!(reading.usage_bytes(), Some(3 << 20));
/// ```
pub trait Source: Send + Sync {
    /// Writes what is known now.
    fn read(&self, reading: &mut Reading);

    /// The least time between two reads by a monitor, for sources that cost something; in between,
    /// the monitor repeats what it read last.
    fn min_interval(&self) -> Duration {
        Duration::ZERO
    }
}

/// The path under another root: `/proc/x` under `/fixture` is `/fixture/proc/x`.
fn under(root: &Path, path: impl AsRef<Path>) -> std::path::PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A small file's text, if there is one that can be read.
fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}
