//! Process memory beyond the resident set, from Linux's `/proc`. Unknown on other systems.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Source, under};
use crate::{Metric, Reading};

/// The high-water mark only rises, so it is read twice a second and whenever a peak is requested.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// `smaps_rollup` walks every mapping of the process with its memory map locked.
const PSS_INTERVAL: Duration = Duration::from_secs(1);

/// High-water mark and resident file pages of this process, from `/proc/self/status`.
#[derive(Debug)]
pub struct StatusSource {
    path: PathBuf,
}

impl StatusSource {
    /// Reads `proc/self/status` under `root` (`/` outside tests).
    pub fn new(root: impl AsRef<Path>) -> Self {
        Self {
            path: under(root.as_ref(), "/proc/self/status"),
        }
    }

    /// Reads `VmHWM`.
    pub(crate) fn high_water_bytes(&self) -> Option<u64> {
        parse::high_water_and_file_bytes(&self.path)?.0
    }
}

impl Source for StatusSource {
    fn read(&self, reading: &mut Reading) {
        if let Some((high_water, file)) = parse::high_water_and_file_bytes(&self.path) {
            reading.set_bytes(Metric::RssHighWater, high_water);
            reading.set_bytes(Metric::RssFile, file);
        }
    }

    fn min_interval(&self) -> Duration {
        STATUS_INTERVAL
    }
}

/// Proportional set size of this process, from `/proc/self/smaps_rollup`.
#[derive(Debug)]
pub struct PssSource {
    path: PathBuf,
}

impl PssSource {
    /// Reads `proc/self/smaps_rollup` under `root` (`/` outside tests).
    pub fn new(root: impl AsRef<Path>) -> Self {
        Self {
            path: under(root.as_ref(), "/proc/self/smaps_rollup"),
        }
    }
}

impl Source for PssSource {
    fn read(&self, reading: &mut Reading) {
        reading.set_bytes(Metric::Pss, parse::pss_bytes(&self.path));
    }

    fn min_interval(&self) -> Duration {
        PSS_INTERVAL
    }
}

#[cfg(target_os = "linux")]
mod parse {
    use std::path::Path;

    use procfs::{
        FromRead,
        process::{SmapsRollup, Status},
    };

    /// Reads `VmHWM` and `RssFile`.
    pub(super) fn high_water_and_file_bytes(path: &Path) -> Option<(Option<u64>, Option<u64>)> {
        let status = Status::from_file(path).ok()?;
        let bytes = |kib: Option<u64>| kib?.checked_mul(1024);
        Some((bytes(status.vmhwm), bytes(status.rssfile)))
    }

    pub(super) fn pss_bytes(path: &Path) -> Option<u64> {
        let rollup = SmapsRollup::from_file(path).ok()?.memory_map_rollup;
        rollup.into_iter().next()?.extension.map.remove("Pss")
    }
}

#[cfg(not(target_os = "linux"))]
mod parse {
    use std::path::Path;

    pub(super) fn high_water_and_file_bytes(_: &Path) -> Option<(Option<u64>, Option<u64>)> {
        None
    }

    pub(super) fn pss_bytes(_: &Path) -> Option<u64> {
        None
    }
}
