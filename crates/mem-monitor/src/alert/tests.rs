//! Tests of rules and messages.

use proptest::prelude::*;

use super::*;
use crate::{Metric, Pressure, Quantity, Stall};

fn reading(rss: u64) -> Reading {
    let mut reading = Reading::default();
    reading.set_bytes(Metric::Rss, rss);
    reading
}

fn limit(used: u64, bytes: u64) -> Limit {
    Limit {
        limit_bytes: bytes,
        used_bytes: Some(used),
        origin: LimitOrigin::CgroupMax(
            std::path::Path::new("/sys/fs/cgroup/app/memory.max").into(),
        ),
    }
}

fn charged(used: u64, bytes: u64) -> Charged {
    Charged {
        limit: limit(used, bytes),
        growth_bytes_per_second: None,
    }
}

fn situation<'a>(reading: &'a Reading, limits: &'a [Charged]) -> Situation<'a> {
    Situation {
        time: SystemTime::UNIX_EPOCH,
        elapsed: Duration::ZERO,
        reading,
        limits,
        growth_bytes_per_second: None,
    }
}

/// Returns the indices at which a rule fires.
fn fires_at(rule: AlertRule, shares: &[u64]) -> Vec<usize> {
    let mut armed = Armed::new(rule);
    let fires = |(i, &used): (usize, &u64)| {
        let (reading, limit) = (reading(used), charged(used, 100));
        armed.check(&situation(&reading, &[limit])).map(|_| i)
    };
    shares.iter().enumerate().filter_map(fires).collect()
}

#[test]
fn rule_fires_once_per_crossing() {
    let rule = AlertRule::share_of_limit(0.8).with_hysteresis(0.1);
    // The rule is armed again below 72: 80 minus 10 %.
    assert_eq!(
        fires_at(rule, &[79, 80, 85, 79, 81, 73, 90, 71, 79, 80]),
        [1, 9]
    );
}

#[test]
fn rule_without_hysteresis_is_armed_below_the_threshold() {
    let rule = AlertRule::share_of_limit(0.8).with_hysteresis(0.0);
    assert_eq!(fires_at(rule, &[80, 79, 80, 79, 80]), [0, 2, 4]);
}

#[test]
fn unknown_values_neither_fire_nor_arm_a_rule() {
    let mut armed = Armed::new(AlertRule::share_of_limit(0.5));
    let full = reading(90);
    let high = [charged(90, 100)];
    assert!(armed.check(&situation(&full, &[])).is_none());
    assert!(armed.check(&situation(&full, &high)).is_some());
    assert!(armed.check(&situation(&full, &[])).is_none());
    assert!(armed.check(&situation(&full, &high)).is_none());
}

#[test]
fn time_to_limit_fires_below_and_is_armed_above() {
    let rule = AlertRule::time_to_limit_below(Duration::from_secs(60)).with_hysteresis(0.5);
    let mut armed = Armed::new(rule);
    // 6000 bytes are left.
    let reading = reading(4000);
    let mut fires = |growth: Option<f64>| {
        let limit = Charged {
            growth_bytes_per_second: growth,
            ..charged(4000, 10_000)
        };
        armed.check(&situation(&reading, &[limit])).is_some()
    };
    assert!(!fires(None));
    assert!(!fires(Some(99.0)));
    assert!(fires(Some(101.0)));
    assert!(
        !fires(Some(80.0)),
        "75 s is above 60 s, but below 60 s plus 50 %"
    );
    assert!(!fires(Some(120.0)));
    assert!(
        !fires(Some(0.0)),
        "without growth the limit is never reached"
    );
    assert!(!fires(Some(-5.0)));
    assert!(fires(Some(120.0)));
}

#[test]
fn pressure_of_the_control_group_takes_precedence() {
    let pressure = |percent| {
        Some(Pressure {
            some: Some(Stall {
                avg10_percent: percent,
                ..Stall::default()
            }),
            full: None,
        })
    };
    let mut reading = reading(1);
    reading.pressure = pressure(50.0);
    let mut armed = Armed::new(AlertRule::pressure_above(20.0));
    let alert = armed.check(&situation(&reading, &[])).unwrap();
    assert!(
        alert
            .message
            .contains("of the machine waited for memory 50.0 %"),
        "{alert}"
    );
    let mut armed = Armed::new(AlertRule::pressure_above(20.0));
    reading.cgroup_pressure = pressure(1.0);
    assert!(armed.check(&situation(&reading, &[])).is_none());
}

#[test]
fn messages_have_figures_limit_and_remedy() {
    let reading = reading(850 << 20);
    let growth = Some((10 << 20) as f64);
    let limits = [Charged {
        growth_bytes_per_second: growth,
        ..charged(850 << 20, 1000 << 20)
    }];
    let mut now = situation(&reading, &limits);
    now.growth_bytes_per_second = growth;
    let say = |rule| Armed::new(rule).check(&now).unwrap().to_string();
    assert_eq!(
        say(AlertRule::share_of_limit(0.8)),
        "memory: 85 % of the limit is used: 850.0 MiB of 1000.0 MiB (cgroup limit \
         /sys/fs/cgroup/app/memory.max), 150.0 MiB left; above it the kernel kills a process of the \
         group: release memory, accept no new work, or raise the group's limit"
    );
    assert!(
        say(AlertRule::usage_above(500 << 20))
            .contains("uses 850.0 MiB, the threshold is 500.0 MiB")
    );
    assert!(say(AlertRule::growth_above(1 << 20)).contains("grows by at least 10.0 MiB/s"));
    assert!(
        say(AlertRule::time_to_limit_below(Duration::from_secs(60)))
            .contains("reached in about 15 s")
    );
}

#[test]
fn rejects_invalid_rules_with_the_reason() {
    for rule in [
        AlertRule::share_of_limit(0.0),
        AlertRule::share_of_limit(f64::NAN),
        AlertRule::share_of_limit(-0.5),
        AlertRule::share_of_limit(1.01),
        AlertRule::usage_above(0),
        AlertRule::growth_above(0),
        AlertRule::pressure_above(101.0),
        AlertRule::time_to_limit_below(Duration::ZERO),
        AlertRule::share_of_limit(0.8).with_hysteresis(1.0),
        AlertRule::share_of_limit(0.8).with_hysteresis(f64::NAN),
    ] {
        let error = rule.validate().unwrap_err().to_string();
        assert!(error.contains("must be"), "{error}");
    }
    for rule in AlertRule::defaults() {
        rule.validate().unwrap();
    }
    AlertRule::share_of_limit(1.0).validate().unwrap();
}

#[test]
fn share_in_percent_is_rejected_with_the_range() {
    let error = AlertRule::share_of_limit(80.0).validate().unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("is 80, which must be a share in 0..=1"),
        "{message}"
    );
}

#[test]
fn limit_of_counted_bytes_ignores_the_resident_set() {
    // 20 of 24 MiB are counted while the resident set is above the limit.
    let reading = reading(26 << 20);
    let counted = Limit {
        origin: LimitOrigin::Configured(Quantity::Counted),
        ..limit(20 << 20, 24 << 20)
    };
    let limits = [Charged {
        limit: counted,
        growth_bytes_per_second: None,
    }];
    let now = situation(&reading, &limits);
    let mut armed = Armed::new(AlertRule::share_of_limit(0.95));
    assert_eq!(armed.check(&now), None);
    let mut armed = Armed::new(AlertRule::share_of_limit(0.8));
    let alert = armed.check(&now).unwrap();
    assert!(
        alert.message.contains(
            "83 % of the limit is used: 20.0 MiB of 24.0 MiB (configured limit of counted bytes), 4.0 MiB left"
        ),
        "{alert}"
    );
}

#[test]
fn fullest_limit_fires_whatever_its_headroom() {
    let limits = [charged(50, 100), charged(990_000, 1_000_000)];
    let reading = reading(1);
    let mut armed = Armed::new(AlertRule::share_of_limit(0.95));
    let alert = armed.check(&situation(&reading, &limits)).unwrap();
    assert_eq!(alert.limit, Some(limits[1].limit.clone()));
}

#[test]
fn json_has_units_in_its_names() {
    let reading = reading(90);
    let limits = [charged(90, 100)];
    let mut armed = Armed::new(AlertRule::share_of_limit(0.8));
    let alert = armed.check(&situation(&reading, &limits)).unwrap();
    let json = serde_json::to_value(&alert).unwrap();
    assert_eq!(json["time_unix_seconds"], 0.0);
    assert_eq!(json["elapsed_seconds"], 0.0);
    assert_eq!(json["usage_bytes"], 90);
    assert_eq!(json["limit"]["limit_bytes"], 100);
    assert_eq!(json["limit"]["used_bytes"], 90);
    assert_eq!(
        json["rule"],
        serde_json::json!({"condition": {"share_of_limit": 0.8}, "hysteresis_share": 0.05})
    );
    let rule = AlertRule::time_to_limit_below(Duration::from_millis(1500));
    assert_eq!(
        serde_json::to_value(rule).unwrap()["condition"],
        serde_json::json!({"time_to_limit_below_seconds": 1.5})
    );
}

proptest! {
    #[test]
    fn value_goes_back_between_two_alerts(
        shares in prop::collection::vec(0u64..100, 0..300),
        threshold in 0.05f64..0.95,
        hysteresis in 0.0f64..0.9,
    ) {
        let fired = fires_at(AlertRule::share_of_limit(threshold).with_hysteresis(hysteresis), &shares);
        for &i in &fired {
            prop_assert!(shares[i] as f64 / 100.0 >= threshold);
        }
        for pair in fired.windows(2) {
            let back = shares[pair[0]..pair[1]]
                .iter()
                .any(|&s| (s as f64 / 100.0) < threshold - threshold * hysteresis);
            prop_assert!(back);
        }
        if fired.is_empty() {
            prop_assert!(shares.iter().all(|&s| (s as f64 / 100.0) < threshold));
        }
    }
}
