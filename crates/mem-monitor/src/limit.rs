//! Limits and the usage charged against them.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Metric;

/// A quantity of this process's memory, for a configured limit or a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Quantity {
    /// The resident set: pages that were touched and are in physical memory.
    Rss,
    /// Live bytes of the heap counter: requested memory, touched or not.
    Heap,
    /// The total of the program's own accounting; see
    /// [`MemoryMonitorBuilder::counted`](crate::MemoryMonitorBuilder::counted).
    Counted,
}

impl Quantity {
    pub(crate) const fn metric(self) -> Metric {
        match self {
            Self::Rss => Metric::Rss,
            Self::Heap => Metric::Heap,
            Self::Counted => Metric::Counted,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rss => "RSS",
            Self::Heap => "the live heap",
            Self::Counted => "counted bytes",
        })
    }
}

/// The origin of a limit, which determines the usage that is charged against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitOrigin {
    /// Configured by the program. Only this quantity is charged.
    Configured(Quantity),
    /// A control group's hard limit. Above it the kernel kills a process of the group. The group's
    /// working set is charged: its memory minus the page cache that the kernel can drop at once.
    CgroupMax(#[serde(serialize_with = "crate::serialize::through")] Arc<Path>),
    /// A control group's throttling limit. Above it the kernel slows the group down. The group's
    /// working set is charged.
    CgroupHigh(#[serde(serialize_with = "crate::serialize::through")] Arc<Path>),
    /// The machine: the memory of this process plus the available memory. The process's resident set
    /// is charged, or its live heap if the resident set is unknown.
    Machine,
}

impl fmt::Display for LimitOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured(quantity) => write!(f, "configured limit of {quantity}"),
            Self::CgroupMax(path) => write!(f, "cgroup limit {}", path.display()),
            Self::CgroupHigh(path) => write!(f, "cgroup throttling limit {}", path.display()),
            Self::Machine => f.write_str("machine memory"),
        }
    }
}

/// A limit and the usage charged against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// The limit in bytes.
    pub limit_bytes: u64,
    /// Bytes charged against it; `None` if the quantity is unknown.
    pub used_bytes: Option<u64>,
    /// Its origin, which names the charged quantity.
    pub origin: LimitOrigin,
}

impl Limit {
    /// Returns the used share: 1 at the limit, more above it.
    pub fn share(&self) -> Option<f64> {
        // A limit of 0 is exceeded by any usage.
        self.used_bytes
            .map(|used| used as f64 / (self.limit_bytes as f64).max(1.0))
    }

    /// Returns the bytes left until the limit.
    pub fn headroom_bytes(&self) -> Option<u64> {
        self.used_bytes
            .map(|used| self.limit_bytes.saturating_sub(used))
    }
}

/// A limit and the growth of the usage charged against it.
#[derive(Clone, Debug)]
pub(crate) struct Charged {
    pub(crate) limit: Limit,
    pub(crate) growth_bytes_per_second: Option<f64>,
}

impl Charged {
    /// Returns the time until the limit is reached at constant growth; `None` without growth.
    pub(crate) fn time_to_limit(&self) -> Option<Duration> {
        let growth = self
            .growth_bytes_per_second
            .filter(|growth| *growth > 0.0)?;
        let seconds = self.limit.headroom_bytes()? as f64 / growth;
        Duration::try_from_secs_f64(seconds).ok()
    }
}
