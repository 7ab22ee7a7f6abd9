//! The limits that apply to a reading.

use std::time::Duration;

use crate::{Limit, LimitOrigin, Metric, Quantity, Reading, limit::Charged, trend::Trend};

/// A limit that the program configures, with the quantity that is charged.
pub(super) type Configured = Option<(Quantity, u64)>;

/// The configured limit, the control groups' limit and the machine's limit, each with its own usage.
type All = [Option<Limit>; 3];

/// The limits of a monitor and the growth of the usage charged against each.
pub(super) struct Limits {
    pub(super) configured: Configured,
    trends: [(Option<LimitOrigin>, Trend); 3],
}

impl Limits {
    pub(super) fn new(configured: Configured, trend_window: Duration) -> Self {
        Self {
            configured,
            trends: std::array::from_fn(|_| (None, Trend::new(trend_window))),
        }
    }

    /// Returns the known limits of a reading taken at `elapsed`.
    pub(super) fn charge(&mut self, reading: &Reading, elapsed: Duration) -> Vec<Charged> {
        let mut charged = Vec::with_capacity(self.trends.len());
        for (limit, (origin, trend)) in all(self.configured, reading)
            .into_iter()
            .zip(&mut self.trends)
        {
            let now = limit.as_ref().map(|limit| &limit.origin);
            if origin.as_ref() != now {
                // The usage charged against another limit is a different quantity.
                trend.clear();
                *origin = now.cloned();
            }
            let Some(limit) = limit else { continue };
            if let Some(used) = limit.used_bytes {
                trend.push(elapsed, used);
            }
            charged.push(Charged {
                limit,
                growth_bytes_per_second: trend.bytes_per_second(),
            });
        }
        charged
    }

    pub(super) fn clear_trends(&mut self) {
        for (_, trend) in &mut self.trends {
            trend.clear();
        }
    }
}

/// Returns the limit with the least headroom. A limit with unknown usage is effective only if there is no
/// other.
pub(super) fn effective(limits: &[Charged]) -> Option<&Limit> {
    let limits = limits.iter().map(|charged| &charged.limit);
    limits.min_by_key(|limit| {
        let headroom = limit.headroom_bytes();
        (headroom.is_none(), headroom, limit.limit_bytes)
    })
}

/// Returns every limit of a reading.
///
/// The machine's limit for this process is its usage plus the available memory, and at most the
/// machine's total.
fn all(configured: Configured, reading: &Reading) -> All {
    let configured = configured.map(|(quantity, bytes)| Limit {
        limit_bytes: bytes,
        used_bytes: reading.bytes(quantity.metric()),
        origin: LimitOrigin::Configured(quantity),
    });
    let machine = reading.bytes(Metric::MachineTotal).map(|total| {
        let reachable = reading
            .bytes(Metric::MachineAvailable)
            .zip(reading.usage_bytes())
            .map(|(available, usage)| available.saturating_add(usage));
        Limit {
            limit_bytes: reachable.map_or(total, |reachable| reachable.min(total)),
            used_bytes: reading.usage_bytes(),
            origin: LimitOrigin::Machine,
        }
    });
    [configured, reading.cgroup_limit.clone(), machine]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn machine(total: u64, available: u64, rss: u64) -> Reading {
        let mut reading = Reading::default();
        reading.set_bytes(Metric::MachineTotal, total);
        reading.set_bytes(Metric::MachineAvailable, available);
        reading.set_bytes(Metric::Rss, rss);
        reading
    }

    fn effective_limit(configured: Configured, reading: &Reading) -> Option<Limit> {
        let mut limits = Limits::new(configured, Duration::from_secs(1));
        effective(&limits.charge(reading, Duration::ZERO)).cloned()
    }

    #[test]
    fn limit_with_the_least_headroom_is_effective() {
        let mut reading = machine(1000, 900, 50);
        assert_eq!(effective_limit(None, &reading).unwrap().limit_bytes, 950);
        reading.cgroup_limit = Some(Limit {
            limit_bytes: 500,
            used_bytes: Some(400),
            origin: LimitOrigin::CgroupMax(Path::new("/x").into()),
        });
        let rss = |bytes| Some((Quantity::Rss, bytes));
        let limit = effective_limit(rss(600), &reading).unwrap();
        assert_eq!((limit.limit_bytes, limit.used_bytes), (500, Some(400)));
        // The lowest limit is not effective: the group has less headroom.
        let limit = effective_limit(rss(200), &reading).unwrap();
        assert_eq!(limit.headroom_bytes(), Some(100));
        let limit = effective_limit(rss(100), &reading).unwrap();
        assert_eq!(limit.origin, LimitOrigin::Configured(Quantity::Rss));
        assert_eq!(limit.share(), Some(0.5));
        assert_eq!(limit.headroom_bytes(), Some(50));
    }

    #[test]
    fn configured_limit_is_charged_with_its_own_quantity() {
        let mut reading = Reading::default();
        for (metric, bytes) in [(Metric::Rss, 90), (Metric::Heap, 20), (Metric::Counted, 30)] {
            reading.set_bytes(metric, bytes);
        }
        for (quantity, used) in [
            (Quantity::Rss, 90),
            (Quantity::Heap, 20),
            (Quantity::Counted, 30),
        ] {
            let limit = effective_limit(Some((quantity, 50)), &reading).unwrap();
            assert_eq!(limit.used_bytes, Some(used), "{quantity}");
        }
        reading.set_unknown(Metric::Counted);
        let limit = effective_limit(Some((Quantity::Counted, 50)), &reading).unwrap();
        assert_eq!(limit.used_bytes, None, "RSS does not stand in for it");
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
