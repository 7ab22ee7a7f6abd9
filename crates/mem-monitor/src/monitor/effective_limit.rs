//! The effective limit of a reading.

use crate::{Limit, LimitOrigin, Metric, Reading};

/// Returns the smallest of the configured limit, the control groups' limits and the machine's limit.
///
/// The machine's limit for this process is its resident set plus the available memory, and at most
/// the machine's total.
pub(super) fn effective_limit(configured: Option<u64>, reading: &Reading) -> Option<Limit> {
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
    use std::path::Path;

    use super::*;

    fn machine(total: u64, available: u64, rss: u64) -> Reading {
        let mut reading = Reading::default();
        reading.set_bytes(Metric::MachineTotal, Some(total));
        reading.set_bytes(Metric::MachineAvailable, Some(available));
        reading.set_bytes(Metric::Rss, Some(rss));
        reading
    }

    #[test]
    fn smallest_limit_is_effective() {
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
    fn machine_limit_is_at_most_its_total() {
        let limit = effective_limit(None, &machine(1000, 990, 50)).unwrap();
        assert_eq!(limit.limit_bytes, 1000);
    }

    #[test]
    fn empty_reading_has_no_limit() {
        assert_eq!(effective_limit(None, &Reading::default()), None);
    }
}
