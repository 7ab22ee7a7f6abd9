//! Process memory from Linux's `/proc`. Unknown on other systems.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Source, under};
use crate::{Metric, Reading, process::SelfFile};

/// `smaps_rollup` walks every mapping of the process with its memory map locked.
const PSS_INTERVAL: Duration = Duration::from_secs(1);

/// Resident set, its high-water mark, anonymous and file pages and the address space of this process, from
/// `/proc/self/status`.
///
/// All figures are of the same moment, so the mark is never below the resident set. Every sample reads
/// them: a peak between two samples is then known with the later one.
#[derive(Debug)]
pub struct StatusSource {
    file: SelfFile,
}

/// Figures of `/proc/self/status`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    high_water_bytes: Option<u64>,
    rss_bytes: Option<u64>,
    anonymous_bytes: Option<u64>,
    file_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
}

impl StatusSource {
    /// Reads `proc/self/status` under `root` (`/` outside tests).
    pub fn new(root: impl AsRef<Path>) -> Self {
        Self {
            file: SelfFile::open(root.as_ref(), "status"),
        }
    }

    /// Reads `VmHWM`.
    pub(crate) fn high_water_bytes(&self) -> Option<u64> {
        self.file.read(|text| status(text).high_water_bytes)
    }
}

impl Source for StatusSource {
    fn read(&self, reading: &mut Reading) {
        if let Some(status) = self.file.read(|text| Some(status(text))) {
            reading.set_if_known(Metric::RssHighWater, status.high_water_bytes);
            reading.set_if_known(Metric::Rss, status.rss_bytes);
            reading.set_if_known(Metric::RssAnon, status.anonymous_bytes);
            reading.set_if_known(Metric::RssFile, status.file_bytes);
            reading.set_if_known(Metric::Virtual, status.virtual_bytes);
        }
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

/// Parses `/proc/self/status`. The parser of `procfs` stores all 55 fields (52 µs against 35 µs for this one
/// on the same machine) and rejects a file without any of them; spans read the mark at entry and exit.
fn status(text: &[u8]) -> Status {
    let mut status = Status::default();
    for line in text.split(|byte| *byte == b'\n') {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => continue,
        };
        let field = match name {
            b"VmHWM" => &mut status.high_water_bytes,
            b"VmRSS" => &mut status.rss_bytes,
            b"RssAnon" => &mut status.anonymous_bytes,
            b"RssFile" => &mut status.file_bytes,
            b"VmSize" => &mut status.virtual_bytes,
            // The lines after this one are not needed.
            b"VmData" => break,
            _ => continue,
        };
        *field = kib(value);
    }
    status
}

/// Parses `   123 kB` as bytes.
fn kib(value: &[u8]) -> Option<u64> {
    let value = str::from_utf8(value).ok()?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Resident set and address space from `/proc/self/statm`. Measured on one machine, a read takes 1 µs;
/// with `StatM::from_file` of `procfs`, which opens the file each time, 12 µs.
#[cfg(target_os = "linux")]
pub(super) struct Statm {
    file: SelfFile,
    page_bytes: u64,
}

#[cfg(target_os = "linux")]
impl Statm {
    pub(super) fn open(root: &Path) -> Self {
        Self {
            file: SelfFile::open(root, "statm"),
            page_bytes: procfs::page_size(),
        }
    }

    /// Reads the resident set and the address space, in bytes.
    pub(super) fn sizes(&self) -> Option<(u64, u64)> {
        use procfs::{FromRead, process::StatM};

        let pages = self.file.read(|text| StatM::from_read(text).ok())?;
        let bytes = |pages: u64| pages.checked_mul(self.page_bytes);
        Some((bytes(pages.resident)?, bytes(pages.size)?))
    }
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
    fn status_fields_are_found_by_their_whole_name() {
        let text =
            b"VmHWM_x: 108 kB\nVmHWM:   324 kB\nVmRSS:\t1 kB\nRssAnon: many kB\nVmSize: 2 MB\n";
        let expected = Status {
            high_water_bytes: Some(324 << 10),
            rss_bytes: Some(1 << 10),
            ..Status::default()
        };
        assert_eq!(status(text), expected);
        let overflow = status(b"VmHWM: 18446744073709551615 kB");
        assert_eq!(overflow, Status::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn statm_counts_pages() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let path = root.path().join("proc/self/statm");
        std::fs::write(path, "300 200 100 1 0 50 0\n").unwrap();
        let page = procfs::page_size();
        let sizes = Statm::open(root.path()).sizes();
        assert_eq!(sizes, Some((200 * page, 300 * page)));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(VmHWM|:| |kB|[0-9]{1,22}|\\PC|\n){0,20}") {
            status(text.as_bytes());
        }
    }
}
