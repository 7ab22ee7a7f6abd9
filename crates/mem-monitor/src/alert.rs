//! Alert rules and alerts.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytesize::ByteSize;
use serde::Serialize;

use crate::{Error, Limit, LimitOrigin, Reading};

/// A rule fires again only after the value has gone back by this share of the threshold. Usage normally
/// fluctuates by a few percent.
const DEFAULT_HYSTERESIS: f64 = 0.05;

/// The condition of an alert rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// Usage is at least this share (0 to 1) of the effective limit.
    ShareOfLimit(f64),
    /// Usage of the process is at or above a threshold.
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
    PressureAbove(f64),
    /// At the current growth the effective limit is reached in less than this time.
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

    /// Creates a [`Condition::ShareOfLimit`] rule; 0.8 is 80 %.
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

    /// Returns the default rules: 80 % and 95 % of the effective limit, and less than 60 s to the
    /// limit.
    pub const fn defaults() -> [Self; 3] {
        [
            Self::share_of_limit(0.8),
            Self::share_of_limit(0.95),
            Self::time_to_limit_below(Duration::from_secs(60)),
        ]
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let (threshold, allowed) = match self.condition {
            Condition::ShareOfLimit(share) => {
                (share, "a share above 0, where 1 is the whole limit")
            }
            Condition::UsageAbove { usage_bytes } => (usage_bytes as f64, "more than 0 bytes"),
            Condition::GrowthAbove { bytes_per_second } => {
                (bytes_per_second as f64, "more than 0 bytes per second")
            }
            Condition::PressureAbove(percent) if percent > 100.0 => {
                (f64::NAN, "above 0 and at most 100 percent")
            }
            Condition::PressureAbove(percent) => (percent, "above 0 and at most 100 percent"),
            Condition::TimeToLimitBelow(time) => (time.as_secs_f64(), "more than 0 s"),
        };
        let problem = if !(threshold.is_finite() && threshold > 0.0) {
            format!("its threshold must be {allowed}")
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
pub struct Alert {
    /// When the condition became true.
    #[serde(serialize_with = "crate::serialize::as_unix_seconds")]
    pub time: SystemTime,
    /// Time since the monitor was created.
    #[serde(serialize_with = "crate::serialize::as_seconds")]
    pub elapsed: Duration,
    /// The rule that fired.
    pub rule: AlertRule,
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
    pub(crate) limit: Option<&'a Limit>,
    /// Growth of the process.
    pub(crate) growth_bytes_per_second: Option<f64>,
    /// Growth of the usage charged against the limit.
    pub(crate) limit_growth_bytes_per_second: Option<f64>,
}

/// Returns the time until the limit is reached at constant growth; `None` without growth.
pub(crate) fn time_to_limit(limit: Option<&Limit>, growth: Option<f64>) -> Option<Duration> {
    let (left, growth) = limit?.headroom_bytes().zip(growth)?;
    let seconds = left as f64 / growth;
    (growth > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok())?
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
        let (value, threshold) = measure(self.rule.condition, now)?;
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
                message: message(self.rule.condition, now),
            });
            return self.open.clone();
        }
        if back {
            self.open = None;
        }
        None
    }
}

/// Returns the measured value and the threshold of a condition.
fn measure(condition: Condition, now: &Situation<'_>) -> Option<(f64, f64)> {
    Some(match condition {
        Condition::ShareOfLimit(share) => (now.limit?.share()?, share),
        Condition::UsageAbove { usage_bytes } => {
            (now.reading.usage_bytes()? as f64, usage_bytes as f64)
        }
        Condition::GrowthAbove { bytes_per_second } => {
            (now.growth_bytes_per_second?, bytes_per_second as f64)
        }
        Condition::PressureAbove(percent) => (stalled(now.reading)?.1, percent),
        Condition::TimeToLimitBelow(time) => (
            // Without growth the limit is never reached; unknown growth is not zero growth.
            time_to_limit(now.limit, Some(now.limit_growth_bytes_per_second?))
                .map_or(f64::INFINITY, |left| left.as_secs_f64()),
            time.as_secs_f64(),
        ),
    })
}

/// Returns the scope of the pressure and the percentage of the last 10 s that tasks waited.
fn stalled(reading: &Reading) -> Option<(&'static str, f64)> {
    let some = |pressure: &Option<crate::Pressure>| Some(pressure.as_ref()?.some?.avg10_percent);
    some(&reading.cgroup_pressure)
        .map(|percent| ("control group", percent))
        .or_else(|| Some(("machine", some(&reading.pressure)?)))
}

fn message(condition: Condition, now: &Situation<'_>) -> String {
    let unknown = || "an unknown amount".to_owned();
    let shown = |bytes: Option<u64>| bytes.map_or_else(unknown, |b| ByteSize::b(b).to_string());
    let usage = shown(now.reading.usage_bytes());
    let rate = |growth: Option<f64>| ByteSize::b(growth.unwrap_or(0.0).max(0.0) as u64);
    let limit = || match now.limit {
        Some(limit) => format!("{} ({})", ByteSize::b(limit.limit_bytes), limit.origin),
        None => unknown(),
    };
    let remedy = now.limit.map_or("", |limit| remedy(&limit.origin));
    match condition {
        Condition::ShareOfLimit(_) => format!(
            "memory: {} of the limit is used: {} of {}, {} left; {remedy}",
            now.limit
                .and_then(Limit::share)
                .map_or_else(unknown, percent),
            shown(now.limit.and_then(|limit| limit.used_bytes)),
            limit(),
            shown(now.limit.and_then(Limit::headroom_bytes)),
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
            "memory: the limit of {} is reached in about {:.0} s at the current growth of {}/s, {} used; {remedy}",
            limit(),
            time_to_limit(now.limit, now.limit_growth_bytes_per_second)
                .unwrap_or_default()
                .as_secs_f64(),
            rate(now.limit_growth_bytes_per_second),
            shown(now.limit.and_then(|limit| limit.used_bytes)),
        ),
    }
}

const fn remedy(origin: &LimitOrigin) -> &'static str {
    match origin {
        LimitOrigin::Configured => {
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
