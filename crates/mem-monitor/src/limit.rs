//! Limits and the usage charged against them.

use std::{fmt, path::Path, sync::Arc};

use serde::Serialize;

/// The origin of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitOrigin {
    /// Configured by the program.
    Configured,
    /// A control group's hard limit. Above it the kernel kills a process of the group.
    CgroupMax(#[serde(serialize_with = "crate::serialize::through")] Arc<Path>),
    /// A control group's throttling limit. Above it the kernel slows the group down.
    CgroupHigh(#[serde(serialize_with = "crate::serialize::through")] Arc<Path>),
    /// The machine: the memory of this process plus the available memory.
    Machine,
}

impl fmt::Display for LimitOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("configured limit"),
            Self::CgroupMax(path) => write!(f, "cgroup limit {}", path.display()),
            Self::CgroupHigh(path) => write!(f, "cgroup throttling limit {}", path.display()),
            Self::Machine => f.write_str("machine memory"),
        }
    }
}

/// A limit and the usage charged against it.
///
/// A configured limit and the machine's limit apply to this process: its resident set, or its live
/// heap if the resident set is unknown. A control group's limit applies to the group's working set:
/// its charge minus the page cache that the kernel can drop at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// The limit in bytes.
    pub limit_bytes: u64,
    /// Bytes charged against it.
    pub used_bytes: Option<u64>,
    /// Its origin.
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
