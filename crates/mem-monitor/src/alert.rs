//! Alert rules and alerts.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytesize::ByteSize;
use serde::Serialize;

use crate::{Error, Limit, LimitOrigin, Reading, limit::Charged};

/// A rule fires again only after the value has gone back by this share of the threshold. Usage normally
/// fluctuates by a few percent.
const DEFAULT_HYSTERESIS: f64 = 0.05;

/// The condition of an alert rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// The usage charged against any limit is at least this share of it, above 0 and at most 1.
    ShareOfLimit(f64),
    /// Usage of the process ([`Reading::usage_bytes`]) is at or above a threshold.
    UsageAbove {
        /// The threshold.
        usage_bytes: u64,
    },
    /// Usage grows at or above a rate.
    GrowthAbove {
        /// The threshold.
        bytes_per_second: u64,
    },
    /// Tasks of the control group waited for memory for at least this percentage of the last 10 s.
    /// Applies to the machine if the group's pressure is unknown.
    #[serde(rename = "pressure_above_percent")]
    PressureAbove(f64),
    /// At the current growth a limit is reached in less than this time.
    #[serde(
        rename = "time_to_limit_below_seconds",
        serialize_with = "crate::serialize::as_seconds"
    )]
    TimeToLimitBelow(Duration),
}

/// A condition with hysteresis. The rule fires when the condition becomes true, and again only after
/// the value has gone back by a share of the threshold.
///
/// ```
/// use mem_monitor::{AlertRule, MemoryMonitor};
///
/// # fn main() -> Result<(), mem_monitor::Error> {
/// let monitor = MemoryMonitor::builder()
///     .alert_rules([
///         AlertRule::usage_above(500 << 20),
///         AlertRule::share_of_limit(0.9).with_hysteresis(0.1),
///     ])
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AlertRule {
    condition: Condition,
    #[serde(rename = "hysteresis_share")]
    hysteresis: f64,
}

impl AlertRule {
    /// Creates a rule with the default hysteresis of 5 % of its threshold.
    pub const fn new(condition: Condition) -> Self {
        Self {
            condition,
            hysteresis: DEFAULT_HYSTERESIS,
        }
    }

    /// Creates a [`Condition::ShareOfLimit`] rule. The share is in 0..=1, where 0.8 is 80 %; a monitor
    /// with another share cannot be built ([`Error::InvalidRule`]).
    pub const fn share_of_limit(share: f64) -> Self {
        Self::new(Condition::ShareOfLimit(share))
    }

    /// Creates a [`Condition::UsageAbove`] rule.
    pub const fn usage_above(usage_bytes: u64) -> Self {
        Self::new(Condition::UsageAbove { usage_bytes })
    }

    /// Creates a [`Condition::GrowthAbove`] rule.
    pub const fn growth_above(bytes_per_second: u64) -> Self {
        Self::new(Condition::GrowthAbove { bytes_per_second })
    }

    /// Creates a [`Condition::PressureAbove`] rule.
    pub const fn pressure_above(percent: f64) -> Self {
        Self::new(Condition::PressureAbove(percent))
    }

    /// Creates a [`Condition::TimeToLimitBelow`] rule.
    pub const fn time_to_limit_below(time: Duration) -> Self {
        Self::new(Condition::TimeToLimitBelow(time))
    }

    /// Sets the share of the threshold (0 to less than 1) by which the value must go back before the
    /// rule fires again.
    pub const fn with_hysteresis(mut self, share: f64) -> Self {
        self.hysteresis = share;
        self
    }

    /// Returns the condition.
    pub const fn condition(&self) -> Condition {
        self.condition
    }

    /// Returns the default rules: 80 % and 95 % of a limit, and less than 60 s to a limit.
    pub const fn defaults() -> [Self; 3] {
        [
            Self::share_of_limit(0.8),
            Self::share_of_limit(0.95),
            Self::time_to_limit_below(Duration::from_secs(60)),
        ]
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let (threshold, max, allowed) = match self.condition {
            Condition::ShareOfLimit(share) => {
                (share, 1.0, "a share in 0..=1 and above 0 (80 % is 0.8)")
            }
            Condition::UsageAbove { usage_bytes } => {
                (usage_bytes as f64, f64::MAX, "more than 0 bytes")
            }
            Condition::GrowthAbove { bytes_per_second } => (
                bytes_per_second as f64,
                f64::MAX,
                "more than 0 bytes per second",
            ),
            Condition::PressureAbove(percent) => {
                (percent, 100.0, "a percentage in 0..=100 and above 0")
            }
            Condition::TimeToLimitBelow(time) => (time.as_secs_f64(), f64::MAX, "more than 0 s"),
        };
        let problem = if !(threshold > 0.0 && threshold <= max) {
            format!("its threshold is {threshold}, which must be {allowed}")
        } else if !(0.0..1.0).contains(&self.hysteresis) {
            format!(
                "its hysteresis is {}, which must be at least 0 and less than 1",
                self.hysteresis
            )
        } else {
            return Ok(());
        };
        Err(Error::InvalidRule {
            rule: self.to_string(),
            problem,
        })
    }
}

impl fmt::Display for AlertRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.condition {
            Condition::ShareOfLimit(share) => write!(f, "share of limit >= {}", percent(share)),
            Condition::UsageAbove { usage_bytes } => {
                write!(f, "usage >= {}", ByteSize::b(usage_bytes))
            }
            Condition::GrowthAbove { bytes_per_second } => {
                write!(f, "growth >= {}/s", ByteSize::b(bytes_per_second))
            }
            Condition::PressureAbove(percent) => write!(f, "pressure >= {percent} %"),
            Condition::TimeToLimitBelow(time) => write!(f, "time to limit < {time:?}"),
        }
    }
}

/// An alert that fired. `Display` prints the message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Alert {
    /// When the condition became true.
    #[serde(
        rename = "time_unix_seconds",
        serialize_with = "crate::serialize::as_unix_seconds"
    )]
    pub time: SystemTime,
    /// Time since the monitor was created.
    #[serde(
        rename = "elapsed_seconds",
        serialize_with = "crate::serialize::as_seconds"
    )]
    pub elapsed: Duration,
    /// The rule that fired.
    pub rule: AlertRule,
    /// Usage of this process; see [`Reading::usage_bytes`].
    pub usage_bytes: Option<u64>,
    /// The limit that the rule compared, with the usage charged against it; `None` for a rule without a
    /// limit.
    pub limit: Option<Limit>,
    /// What happened, in figures, and what to do.
    pub message: String,
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The input of the rules.
pub(crate) struct Situation<'a> {
    pub(crate) time: SystemTime,
    pub(crate) elapsed: Duration,
    pub(crate) reading: &'a Reading,
    pub(crate) limits: &'a [Charged],
    /// Growth of the process's usage.
    pub(crate) growth_bytes_per_second: Option<f64>,
}

/// A rule with its open alert and the number of times it fired.
#[derive(Clone, Debug)]
pub(crate) struct Armed {
    rule: AlertRule,
    open: Option<Alert>,
    count: u64,
}

impl Armed {
    pub(crate) const fn new(rule: AlertRule) -> Self {
        Self {
            rule,
            open: None,
            count: 0,
        }
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.rule);
    }

    pub(crate) const fn count(&self) -> (AlertRule, u64) {
        (self.rule, self.count)
    }

    /// Returns the alert if the condition is still true.
    pub(crate) const fn open(&self) -> Option<&Alert> {
        self.open.as_ref()
    }

    /// Returns an alert if the condition has just become true. Unknown values change nothing.
    pub(crate) fn check(&mut self, now: &Situation<'_>) -> Option<Alert> {
        let Measured { value, limit } = measure(self.rule.condition, now)?;
        let threshold = threshold(self.rule.condition);
        // For the time to the limit, smaller is worse.
        let below = matches!(self.rule.condition, Condition::TimeToLimitBelow(_));
        let beyond = if below {
            value < threshold
        } else {
            value >= threshold
        };
        let margin = threshold * self.rule.hysteresis;
        let back = if below {
            value >= threshold + margin
        } else {
            value < threshold - margin
        };
        if beyond && self.open.is_none() {
            self.count += 1;
            self.open = Some(Alert {
                time: now.time,
                elapsed: now.elapsed,
                rule: self.rule,
                usage_bytes: now.reading.usage_bytes(),
                limit: limit.map(|charged| charged.limit.clone()),
                message: message(self.rule.condition, now, limit),
            });
            return self.open.clone();
        }
        if back {
            self.open = None;
        }
        None
    }
}

/// The value that a condition compares, in the unit of its threshold.
struct Measured<'a> {
    value: f64,
    /// The limit with the worst value, for a condition on limits.
    limit: Option<&'a Charged>,
}

fn measure<'a>(condition: Condition, now: &Situation<'a>) -> Option<Measured<'a>> {
    let process = |value: f64| Measured { value, limit: None };
    let of_limits = |value: fn(&Charged) -> Option<f64>| {
        now.limits.iter().filter_map(move |limit| {
            Some(Measured {
                value: value(limit)?,
                limit: Some(limit),
            })
        })
    };
    match condition {
        Condition::ShareOfLimit(_) => {
            of_limits(|charged| charged.limit.share()).max_by(|a, b| a.value.total_cmp(&b.value))
        }
        Condition::UsageAbove { .. } => Some(process(now.reading.usage_bytes()? as f64)),
        Condition::GrowthAbove { .. } => Some(process(now.growth_bytes_per_second?)),
        Condition::PressureAbove(_) => Some(process(stalled(now.reading)?.1)),
        Condition::TimeToLimitBelow(_) => of_limits(|charged| {
            charged.growth_bytes_per_second?;
            charged.limit.used_bytes?;
            // Without growth the limit is never reached; unknown growth is not zero growth.
            let time = charged.time_to_limit();
            Some(time.map_or(f64::INFINITY, |left| left.as_secs_f64()))
        })
        .min_by(|a, b| a.value.total_cmp(&b.value)),
    }
}

fn threshold(condition: Condition) -> f64 {
    match condition {
        Condition::ShareOfLimit(share) => share,
        Condition::UsageAbove { usage_bytes } => usage_bytes as f64,
        Condition::GrowthAbove { bytes_per_second } => bytes_per_second as f64,
        Condition::PressureAbove(percent) => percent,
        Condition::TimeToLimitBelow(time) => time.as_secs_f64(),
    }
}

/// Returns the scope of the pressure and the percentage of the last 10 s that tasks waited.
fn stalled(reading: &Reading) -> Option<(&'static str, f64)> {
    let some = |pressure: &Option<crate::Pressure>| Some(pressure.as_ref()?.some?.avg10_percent);
    some(&reading.cgroup_pressure)
        .map(|percent| ("control group", percent))
        .or_else(|| Some(("machine", some(&reading.pressure)?)))
}

fn message(condition: Condition, now: &Situation<'_>, charged: Option<&Charged>) -> String {
    let unknown = || "an unknown amount".to_owned();
    let shown = |bytes: Option<u64>| bytes.map_or_else(unknown, |b| ByteSize::b(b).to_string());
    let usage = shown(now.reading.usage_bytes());
    let rate = |growth: Option<f64>| ByteSize::b(growth.unwrap_or(0.0).max(0.0) as u64);
    let limit = charged.map(|charged| &charged.limit);
    let named = match limit {
        Some(limit) => format!("{} ({})", ByteSize::b(limit.limit_bytes), limit.origin),
        None => unknown(),
    };
    let used = shown(limit.and_then(|limit| limit.used_bytes));
    let remedy = limit.map_or("", |limit| remedy(&limit.origin));
    match condition {
        Condition::ShareOfLimit(_) => format!(
            "memory: {} of the limit is used: {used} of {named}, {} left; {remedy}",
            limit.and_then(Limit::share).map_or_else(unknown, percent),
            shown(limit.and_then(Limit::headroom_bytes)),
        ),
        Condition::UsageAbove { usage_bytes } => format!(
            "memory: this process uses {usage}, the threshold is {}; release unused memory, or \
             see the spans and the breakdown by category for the largest users",
            ByteSize::b(usage_bytes),
        ),
        Condition::GrowthAbove { bytes_per_second } => format!(
            "memory: this process grows by at least {}/s (threshold {}/s) and uses {usage}; see the \
             spans with positive net memory",
            rate(now.growth_bytes_per_second),
            ByteSize::b(bytes_per_second),
        ),
        Condition::PressureAbove(threshold) => {
            let (scope, percent) = stalled(now.reading).unwrap_or(("machine", f64::NAN));
            format!(
                "memory: tasks of the {scope} waited for memory {percent:.1} % of the last 10 s (threshold \
                 {threshold} %) while this process uses {usage}; stop other programs in the {scope}, or give it \
                 more memory"
            )
        }
        Condition::TimeToLimitBelow(_) => format!(
            "memory: the limit of {named} is reached in about {:.0} s at the current growth of {}/s, {used} used; \
             {remedy}",
            charged
                .and_then(Charged::time_to_limit)
                .unwrap_or_default()
                .as_secs_f64(),
            rate(charged.and_then(|charged| charged.growth_bytes_per_second)),
        ),
    }
}

const fn remedy(origin: &LimitOrigin) -> &'static str {
    match origin {
        LimitOrigin::Configured(_) => {
            "release memory, accept no new work, or configure a higher limit"
        }
        LimitOrigin::CgroupMax(_) => {
            "above it the kernel kills a process of the group: release memory, accept no new work, \
             or raise the group's limit"
        }
        LimitOrigin::CgroupHigh(_) => {
            "above it the kernel slows the group down: release memory, accept no new work, or \
             raise memory.high"
        }
        LimitOrigin::Machine => {
            "above it the machine swaps or kills processes: release memory, accept no new work, or stop \
             other programs"
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests;
