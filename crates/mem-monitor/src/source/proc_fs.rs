//! What Linux tells of a process beyond its resident set. Elsewhere there is no `/proc` and all of it is
//! unknown.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Source, text, under};
use crate::{Metric, Reading};

/// The high-water mark only rises, so it is enough to look at it twice a second and when somebody
/// asks for a peak; a look costs 6 to 16 us, several times that when it is cold.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// `smaps_rollup` walks every mapping of the process with its memory map locked.
const PSS_INTERVAL: Duration = Duration::from_secs(1);

/// High-water mark and mapped files of this process, from `/proc/self/status`.
#[derive(Debug)]
pub struct StatusSource {
    path: PathBuf,
}

impl StatusSource {
    /// Reads `proc/self/status` under `root` (`/` outside tests).
    pub fn new(root: &Path) -> Self {
        Self {
            path: under(root, "/proc/self/status"),
        }
    }

    pub(crate) fn high_water(&self) -> Option<u64> {
        kib_field(&text(&self.path)?, "VmHWM")
    }
}

impl Source for StatusSource {
    fn read(&self, reading: &mut Reading) {
        if let Some(status) = text(&self.path) {
            reading.set_bytes(Metric::RssHighWater, kib_field(&status, "VmHWM"));
            reading.set_bytes(Metric::RssFile, kib_field(&status, "RssFile"));
        }
    }

    fn min_interval(&self) -> Duration {
        STATUS_INTERVAL
    }
}

/// Proportional set size of this process, from `/proc/self/smaps_rollup`, at most once a second.
#[derive(Debug)]
pub struct PssSource {
    path: PathBuf,
}

impl PssSource {
    /// Reads `proc/self/smaps_rollup` under `root` (`/` outside tests).
    pub fn new(root: &Path) -> Self {
        Self {
            path: under(root, "/proc/self/smaps_rollup"),
        }
    }
}

impl Source for PssSource {
    fn read(&self, reading: &mut Reading) {
        if let Some(rollup) = text(&self.path) {
            reading.set_bytes(Metric::Pss, kib_field(&rollup, "Pss"));
        }
    }

    fn min_interval(&self) -> Duration {
        PSS_INTERVAL
    }
}

/// The value of a line `name:   123 kB`.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let rollup = "Rss: 1 kB\nPss:   324 kB\nPss_Dirty: 108 kB\n";
        assert_eq!(kib_field(rollup, "Pss"), Some(324 << 10));
        assert_eq!(kib_field(rollup, "Pss_Anon"), None);
        assert_eq!(kib_field("VmHWM: many kB\n", "VmHWM"), None);
        assert_eq!(kib_field("VmHWM: 18446744073709551615 kB", "VmHWM"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_field_panic(text in "(VmHWM|:| |kB|[0-9]{1,22}|\\PC|\n){0,20}") {
            kib_field(&text, "VmHWM");
        }
    }
}
