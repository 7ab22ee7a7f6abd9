//! How much memory there may be, and how much of that is used.

use std::{fmt, path::Path, sync::Arc};

use serde::Serialize;

use crate::{Metric, Reading};

/// Who sets a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitOrigin {
    /// The program itself, when it built its monitor.
    Configured,
    /// A control group's hard limit: beyond it the kernel kills a process of the group.
    CgroupMax(#[serde(serialize_with = "crate::shared::through")] Arc<Path>),
    /// A control group's throttling limit: beyond it the kernel makes the group wait.
    CgroupHigh(#[serde(serialize_with = "crate::shared::through")] Arc<Path>),
    /// The machine: what this process has plus what is still available.
    Machine,
}

impl fmt::Display for LimitOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("configured limit"),
            Self::CgroupMax(path) => write!(f, "cgroup limit {}", path.display()),
            Self::CgroupHigh(path) => write!(f, "cgroup throttling limit {}", path.display()),
            Self::Machine => f.write_str("machine's memory"),
        }
    }
}

/// A limit, and what is charged against it.
///
/// What is charged depends on who sets the limit: this process's resident set (its live heap where
/// that is unknown) for a configured limit and for the machine, the group's working set (its charge
/// less the page cache that the kernel can drop at once) for a control group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// The limit.
    pub limit_bytes: u64,
    /// What is charged against it.
    pub used_bytes: Option<u64>,
    /// Who sets it.
    pub origin: LimitOrigin,
}

impl Limit {
    /// The used share, 0 for nothing and 1 for all of it (more where the limit is exceeded).
    pub fn share(&self) -> Option<f64> {
        // A limit of 0 is exceeded by whatever is used.
        self.used_bytes
            .map(|used| used as f64 / (self.limit_bytes as f64).max(1.0))
    }

    /// What is left until the limit.
    pub fn headroom_bytes(&self) -> Option<u64> {
        self.used_bytes
            .map(|used| self.limit_bytes.saturating_sub(used))
    }
}

/// The effective limit: the least of the configured one, those of the control groups and the
/// machine's.
///
/// The machine's limit for this process is its resident set plus what is still available, and at
/// most the machine's total: on a shared machine the total alone says little.
pub(crate) fn effective_limit(configured: Option<u64>, reading: &Reading) -> Option<Limit> {
    let own = |bytes, origin| Limit {
        limit_bytes: bytes,
        used_bytes: reading.usage_bytes(),
        origin,
    };
    let machine = reading.bytes(Metric::MachineTotal).map(|total| {
        let reachable = reading
            .bytes(Metric::MachineAvailable)
            .zip(reading.usage_bytes())
            .map(|(available, usage)| available.saturating_add(usage));
        own(
            reachable.map_or(total, |r| r.min(total)),
            LimitOrigin::Machine,
        )
    });
    [
        configured.map(|bytes| own(bytes, LimitOrigin::Configured)),
        reading.cgroup_limit.clone(),
        machine,
    ]
    .into_iter()
    .flatten()
    .min_by_key(|limit| limit.limit_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(total: u64, available: u64, rss: u64) -> Reading {
        let mut reading = Reading::default();
        reading.set_bytes(Metric::MachineTotal, Some(total));
        reading.set_bytes(Metric::MachineAvailable, Some(available));
        reading.set_bytes(Metric::Rss, Some(rss));
        reading
    }

    #[test]
    fn the_least_of_configured_cgroup_and_machine_is_effective() {
        let mut reading = machine(1000, 900, 50);
        assert_eq!(effective_limit(None, &reading).unwrap().limit_bytes, 950);
        reading.cgroup_limit = Some(Limit {
            limit_bytes: 500,
            used_bytes: Some(400),
            origin: LimitOrigin::CgroupMax(Path::new("/x").into()),
        });
        let limit = effective_limit(Some(600), &reading).unwrap();
        assert_eq!((limit.limit_bytes, limit.used_bytes), (500, Some(400)));
        let limit = effective_limit(Some(100), &reading).unwrap();
        assert_eq!(limit.origin, LimitOrigin::Configured);
        assert_eq!(limit.share(), Some(0.5));
        assert_eq!(limit.headroom_bytes(), Some(50));
    }

    #[test]
    fn the_machine_never_gives_more_than_its_total() {
        let limit = effective_limit(None, &machine(1000, 990, 50)).unwrap();
        assert_eq!(limit.limit_bytes, 1000);
    }

    #[test]
    fn nothing_known_is_no_limit() {
        assert_eq!(effective_limit(None, &Reading::default()), None);
    }
}
