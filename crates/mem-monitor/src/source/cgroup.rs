//! Control groups: version 1, version 2, hybrid and nested.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

#[cfg(target_os = "linux")]
use super::under;
use super::{Source, text};
use crate::{Limit, LimitOrigin, Metric, Reading};

#[cfg(target_os = "linux")]
mod locate;

/// A read takes two to four small files per level, 7 µs each if cached, so it happens once a second.
const CGROUP_INTERVAL: Duration = Duration::from_secs(1);

/// Without a limit, version 1 reports `i64::MAX` rounded down to a page, and slightly less on some
/// kernels.
const UNLIMITED_FROM: u64 = 1 << 62;

/// File names of one version.
struct Files {
    current: &'static str,
    peak: &'static str,
    max: &'static str,
    high: Option<&'static str>,
    /// The key in `memory.stat` of the page cache that the kernel can drop at once.
    droppable: &'static str,
    /// The key of the page cache that is in use, which the kernel drops before it kills a process.
    reclaimable: &'static str,
}

#[cfg(target_os = "linux")]
const V1: Files = Files {
    current: "memory.usage_in_bytes",
    peak: "memory.max_usage_in_bytes",
    max: "memory.limit_in_bytes",
    high: None,
    droppable: "total_inactive_file",
    reclaimable: "total_active_file",
};

const V2: Files = Files {
    current: "memory.current",
    peak: "memory.peak",
    max: "memory.max",
    high: Some("memory.high"),
    droppable: "inactive_file",
    reclaimable: "active_file",
};

/// Charge, peak and limits of the process's control group.
///
/// The group is located through `/proc/self/cgroup` and `/proc/self/mountinfo` when the source is
/// created. Limits are the smallest of the group and its visible ancestors. Inside a container, outer
/// ancestors are not visible, but version 1 reports their smallest limit.
pub struct CgroupSource {
    files: &'static Files,
    /// The group's folder and those of its ancestors, innermost first.
    levels: Vec<Level>,
}

struct Level {
    /// The folder to read.
    folder: PathBuf,
    /// The folder without the root of tests, for messages.
    shown: PathBuf,
}

impl CgroupSource {
    /// Locates the group under `root` (`/` outside tests). Without a group, all values are unknown.
    pub fn new(root: impl AsRef<Path>) -> Self {
        let root = root.as_ref();
        #[cfg(target_os = "linux")]
        let (files, levels) = match locate::memory_group(root) {
            Some(group) => {
                let files = if group.v1 { &V1 } else { &V2 };
                (files, levels(root, &group.place))
            }
            None => (&V2, Vec::new()),
        };
        #[cfg(not(target_os = "linux"))]
        let (files, levels) = {
            let _ = root;
            (&V2, Vec::new())
        };
        Self { files, levels }
    }

    /// Returns the limit of the group or of an ancestor that leaves the least room, and the memory
    /// charged against it that is not page cache. The kernel reclaims page cache before it kills a process
    /// of the group.
    ///
    /// ```
    /// use mem_monitor::CgroupSource;
    ///
    /// if let Some(limit) = CgroupSource::new("/").tightest_limit() {
    ///     println!("{}: {:?} bytes are left", limit.origin, limit.headroom_bytes());
    /// }
    /// ```
    pub fn tightest_limit(&self) -> Option<Limit> {
        let limits = self.levels.iter().flat_map(|level| {
            let used_bytes = self.unreclaimable(level);
            let limit = |bytes: Option<u64>, file: &str, origin: fn(Arc<Path>) -> LimitOrigin| {
                Some(Limit {
                    limit_bytes: bytes?,
                    used_bytes,
                    origin: origin(level.shown.join(file).into()),
                })
            };
            let max = limit(self.max(level), self.files.max, LimitOrigin::CgroupMax);
            let high = self.files.high.and_then(|file| {
                let bytes = number(&level.folder.join(file));
                limit(bytes, file, LimitOrigin::CgroupHigh)
            });
            [max, high].into_iter().flatten()
        });
        limits
            .filter(|limit| limit.used_bytes.is_some())
            .min_by_key(Limit::headroom_bytes)
    }

    /// Returns the charge minus the page cache.
    fn unreclaimable(&self, level: &Level) -> Option<u64> {
        let current = number(&level.folder.join(self.files.current))?;
        let stat = text(level.folder.join("memory.stat")).unwrap_or_default();
        let keys = [self.files.droppable, self.files.reclaimable];
        let cached = keys.into_iter().filter_map(|key| keyed(&stat, key));
        Some(current.saturating_sub(cached.sum()))
    }

    /// Returns the smallest limit and its level.
    fn smallest(&self, limit: impl Fn(&Level) -> Option<u64>) -> Option<(&Level, u64)> {
        self.levels
            .iter()
            .filter_map(|level| Some((level, limit(level)?)))
            .min_by_key(|(_, bytes)| *bytes)
    }

    /// Returns the charge minus the page cache that the kernel can drop at once.
    fn working_set(&self, level: &Level) -> Option<u64> {
        let current = number(&level.folder.join(self.files.current))?;
        let droppable = text(level.folder.join("memory.stat"))
            .and_then(|stat| keyed(&stat, self.files.droppable))
            .unwrap_or_default();
        Some(current.saturating_sub(droppable))
    }

    fn max(&self, level: &Level) -> Option<u64> {
        let own = number(&level.folder.join(self.files.max));
        let inherited = if self.files.high.is_none() {
            text(level.folder.join("memory.stat"))
                .and_then(|stat| keyed(&stat, "hierarchical_memory_limit"))
        } else {
            None
        };
        own.into_iter()
            .chain(inherited)
            .filter(|bytes| *bytes < UNLIMITED_FROM)
            .min()
    }
}

impl Source for CgroupSource {
    fn read(&self, reading: &mut Reading) {
        let innermost = |file: &str| {
            // A version 2 group without the memory controller has no such files; its memory is
            // charged to the nearest ancestor that has the controller.
            self.levels
                .iter()
                .find_map(|level| number(&level.folder.join(file)))
        };
        reading.set_if_known(Metric::CgroupCurrent, innermost(self.files.current));
        reading.set_if_known(Metric::CgroupPeak, innermost(self.files.peak));

        let max = self.smallest(|level| self.max(level));
        reading.set_if_known(Metric::CgroupMax, max.map(|(_, bytes)| bytes));
        let high = self
            .files
            .high
            .and_then(|file| self.smallest(|level| number(&level.folder.join(file))));
        reading.set_if_known(Metric::CgroupHigh, high.map(|(_, bytes)| bytes));

        let limit = |found: Option<(&Level, u64)>, file: &str, origin: fn(Arc<Path>) -> _| {
            found.map(|(level, bytes)| Limit {
                limit_bytes: bytes,
                used_bytes: self.working_set(level),
                origin: origin(level.shown.join(file).into()),
            })
        };
        let max = limit(max, self.files.max, LimitOrigin::CgroupMax);
        let high = limit(high, self.files.high.unwrap_or(""), LimitOrigin::CgroupHigh);
        reading.cgroup_limit = max
            .into_iter()
            .chain(high)
            .min_by_key(|limit| limit.limit_bytes);
    }

    fn min_interval(&self) -> Duration {
        CGROUP_INTERVAL
    }
}

impl std::fmt::Debug for CgroupSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let levels: Vec<_> = self.levels.iter().map(|level| &level.shown).collect();
        f.debug_struct("CgroupSource")
            .field("levels", &levels)
            .finish_non_exhaustive()
    }
}

/// Returns the group and its ancestors up to the mount point.
#[cfg(target_os = "linux")]
fn levels(root: &Path, place: &locate::Place) -> Vec<Level> {
    place
        .group
        .ancestors()
        .take_while(|group| group.starts_with(&place.mount))
        .map(|group| Level {
            folder: under(root, group),
            shown: group.to_owned(),
        })
        .collect()
}

/// Returns the folder of the process's group in the version 2 hierarchy. On a hybrid system it has no
/// memory controller but may have pressure information.
#[cfg(target_os = "linux")]
pub(super) fn unified_folder(root: &Path) -> Option<PathBuf> {
    locate::unified_group(root).map(|place| under(root, place.group))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unified_folder(_: &Path) -> Option<PathBuf> {
    None
}

/// Reads a number from a file; `None` for `max` and anything else.
fn number(path: &Path) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// Returns the value of a line `key 123`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
}
