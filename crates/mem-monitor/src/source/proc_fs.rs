//! Process memory beyond the resident set, from Linux's `/proc`. Unknown on other systems.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Source, text, under};
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
        high_water_and_file_bytes(&self.path)?.0
    }
}

impl Source for StatusSource {
    fn read(&self, reading: &mut Reading) {
        if let Some((high_water, file)) = high_water_and_file_bytes(&self.path) {
            reading.set_if_known(Metric::RssHighWater, high_water);
            reading.set_if_known(Metric::RssFile, file);
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
        reading.set_if_known(Metric::Pss, pss_bytes(&self.path));
    }

    fn min_interval(&self) -> Duration {
        PSS_INTERVAL
    }
}

/// Reads `VmHWM` and `RssFile`. The parser of `procfs` stores all 55 fields (52 µs against 35 µs for this one
/// on the same machine) and rejects a file without any of them; spans read the mark at entry and exit.
fn high_water_and_file_bytes(status: &Path) -> Option<(Option<u64>, Option<u64>)> {
    let status = text(status)?;
    Some((kib_field(&status, "VmHWM"), kib_field(&status, "RssFile")))
}

/// Returns the value of a line `name:   123 kB` in bytes.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1024))
}

#[cfg(target_os = "linux")]
fn pss_bytes(rollup: &Path) -> Option<u64> {
    use procfs::{FromRead, process::SmapsRollup};

    let rollup = SmapsRollup::from_file(rollup).ok()?.memory_map_rollup;
    rollup.into_iter().next()?.extension.map.remove("Pss")
}

#[cfg(not(target_os = "linux"))]
fn pss_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn field_is_found_by_its_whole_name() {
        let text = "VmRSS: 1 kB\nVmHWM:   324 kB\nVmHWM_x: 108 kB\n";
        assert_eq!(kib_field(text, "VmHWM"), Some(324 << 10));
        assert_eq!(kib_field(text, "Vm"), None);
        assert_eq!(kib_field("VmHWM: many kB\n", "VmHWM"), None);
        assert_eq!(kib_field("VmHWM: 18446744073709551615 kB", "VmHWM"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(VmHWM|:| |kB|[0-9]{1,22}|\\PC|\n){0,20}") {
            kib_field(&text, "VmHWM");
        }
    }
}
