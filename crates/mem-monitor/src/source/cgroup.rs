//! Control groups: version 1, version 2, both at once (hybrid), and nested.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Source, text, under};
use crate::{Limit, LimitOrigin, Metric, Reading};

mod locate;

/// A look reads two to four small files for each level, 7 us each and several times that when they
/// are cold, so once a second.
const CGROUP_INTERVAL: Duration = Duration::from_secs(1);

/// What a version 1 group reports where no limit was set is `i64::MAX` rounded down to a page, and
/// somewhat less on some kernels; no machine has half of that.
const UNLIMITED_FROM: u64 = 1 << 62;

/// The names of one version's files.
struct Files {
    current: &'static str,
    peak: &'static str,
    max: &'static str,
    high: Option<&'static str>,
    /// The key in `memory.stat` of the page cache that can be dropped at once.
    droppable: &'static str,
}

const V1: Files = Files {
    current: "memory.usage_in_bytes",
    peak: "memory.max_usage_in_bytes",
    max: "memory.limit_in_bytes",
    high: None,
    droppable: "total_inactive_file",
};

const V2: Files = Files {
    current: "memory.current",
    peak: "memory.peak",
    max: "memory.max",
    high: Some("memory.high"),
    droppable: "inactive_file",
};

/// Charge, peak and limits of the process's control group.
///
/// The group is found by `/proc/self/cgroup` and `/proc/self/mountinfo` when the source is made;
/// limits are the least of the group's own and those of every ancestor that is visible (inside a
/// container, ancestors outside it are not; version 1 still tells their least limit).
pub struct CgroupSource {
    files: &'static Files,
    /// The group's folder and those of its ancestors, innermost first.
    levels: Vec<Level>,
}

struct Level {
    /// Where it is read.
    folder: PathBuf,
    /// Where a person finds it: the folder without the tests' root.
    shown: PathBuf,
}

impl CgroupSource {
    /// Looks for the group under `root` (`/` outside tests). Without one, the source knows nothing.
    pub fn new(root: &Path) -> Self {
        let (files, found) = match locate::memory_group(root) {
            Some(locate::Group { v1: true, place }) => (&V1, Some(place)),
            Some(locate::Group { v1: false, place }) => (&V2, Some(place)),
            None => (&V2, None),
        };
        let levels = found
            .iter()
            .flat_map(|place| place.group.ancestors().map(move |group| (place, group)))
            .take_while(|(place, group)| group.starts_with(&place.mount))
            .map(|(_, group)| Level {
                folder: under(root, group),
                shown: group.to_owned(),
            })
            .collect();
        Self { files, levels }
    }

    /// The least limit among the levels, each with what is charged against it there.
    fn least(&self, limit: impl Fn(&Level) -> Option<u64>) -> Option<(&Level, u64)> {
        self.levels
            .iter()
            .filter_map(|level| Some((level, limit(level)?)))
            .min_by_key(|(_, bytes)| *bytes)
    }

    /// The charge less the page cache that the kernel can drop at once: what container tools call
    /// the working set.
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
            // A version 2 group without the memory controller has no files: the charge is then
            // counted at the next level that has it.
            self.levels
                .iter()
                .find_map(|level| number(&level.folder.join(file)))
        };
        reading.set_bytes(Metric::CgroupCurrent, innermost(self.files.current));
        reading.set_bytes(Metric::CgroupPeak, innermost(self.files.peak));

        let max = self.least(|level| self.max(level));
        reading.set_bytes(Metric::CgroupMax, max.map(|(_, bytes)| bytes));
        let high = self
            .files
            .high
            .and_then(|file| self.least(|level| number(&level.folder.join(file))));
        reading.set_bytes(Metric::CgroupHigh, high.map(|(_, bytes)| bytes));

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

/// The folder of the process's group in the version 2 hierarchy, which in a hybrid system has no
/// memory controller but may have pressure.
pub(super) fn unified_folder(root: &Path) -> Option<PathBuf> {
    locate::unified_group(root).map(|place| under(root, place.group))
}

/// The number in a file; `max` and whatever else is no number is unknown.
fn number(path: &Path) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// The value of a line `key 123`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
}
