//! Alerts: conditions on memory that a person should hear about, once.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytesize::ByteSize;
use serde::Serialize;

use crate::{Error, Limit, LimitOrigin, Reading};

/// A value must come back this share of the threshold before a rule fires again. Memory breathes by
/// a few percent; 5 % of a limit is beyond that.
const DEFAULT_HYSTERESIS: f64 = 0.05;

/// When an alert is due.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// At least this share (0 to 1) of the effective limit is used.
    ShareOfLimit(f64),
    /// The process uses at least so much.
    UsageAbove {
        /// The threshold.
        usage_bytes: u64,
    },
    /// The process grows by at least so many bytes a second.
    GrowthAbove {
        /// The threshold.
        bytes_per_second: u64,
    },
    /// Tasks of the control group (of the machine where the group has none) waited for memory for
    /// at least so many percent of the last 10 s.
    PressureAbove(f64),
    /// At the present slope the effective limit is reached in less than this.
    TimeToLimitBelow(Duration),
}

/// A condition with its hysteresis: it fires when the condition comes to hold, and again only after
/// the value has gone back a share of the threshold in between.
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
    /// A rule with the default hysteresis of 5 % of its threshold.
    pub const fn new(condition: Condition) -> Self {
        Self {
            condition,
            hysteresis: DEFAULT_HYSTERESIS,
        }
    }

    /// [`Condition::ShareOfLimit`]; 0.8 is 80 %.
    pub const fn share_of_limit(share: f64) -> Self {
        Self::new(Condition::ShareOfLimit(share))
    }

    /// [`Condition::UsageAbove`].
    pub const fn usage_above(usage_bytes: u64) -> Self {
        Self::new(Condition::UsageAbove { usage_bytes })
    }

    /// [`Condition::GrowthAbove`].
    pub const fn growth_above(bytes_per_second: u64) -> Self {
        Self::new(Condition::GrowthAbove { bytes_per_second })
    }

    /// [`Condition::PressureAbove`].
    pub const fn pressure_above(percent: f64) -> Self {
        Self::new(Condition::PressureAbove(percent))
    }

    /// [`Condition::TimeToLimitBelow`].
    pub const fn time_to_limit_below(time: Duration) -> Self {
        Self::new(Condition::TimeToLimitBelow(time))
    }

    /// Another share of the threshold (0 to less than 1) that the value must go back before the
    /// rule fires again.
    pub const fn with_hysteresis(mut self, share: f64) -> Self {
        self.hysteresis = share;
        self
    }

    /// What the rule looks at.
    pub const fn condition(&self) -> Condition {
        self.condition
    }

    /// The rules of a monitor that was given none: 80 % and 95 % of the effective limit, and less
    /// than 60 s to the limit.
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
                (bytes_per_second as f64, "more than 0 bytes a second")
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

/// Something that a person should hear about. `Display` gives the message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// When the condition came to hold.
    #[serde(serialize_with = "as_unix_seconds")]
    pub time: SystemTime,
    /// The same since the monitor was made.
    #[serde(serialize_with = "crate::reading::as_seconds")]
    pub elapsed: Duration,
    /// The rule that fired.
    pub rule: AlertRule,
    /// What happened, in figures, and what can be done.
    pub message: String,
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

pub(crate) fn as_unix_seconds<S: serde::Serializer>(
    time: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(unix_seconds(*time))
}

/// Seconds since 1970, negative before.
pub(crate) fn unix_seconds(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// What the rules look at.
pub(crate) struct Situation<'a> {
    pub(crate) time: SystemTime,
    pub(crate) elapsed: Duration,
    pub(crate) reading: &'a Reading,
    pub(crate) limit: Option<&'a Limit>,
    /// Growth of the process.
    pub(crate) growth_bytes_per_second: Option<f64>,
    /// Growth of what is charged against the limit.
    pub(crate) limit_growth_bytes_per_second: Option<f64>,
}

/// When the limit is reached at a steady growth; `None` without growth.
pub(crate) fn time_to_limit(limit: Option<&Limit>, growth: Option<f64>) -> Option<Duration> {
    let (left, growth) = limit?.headroom_bytes().zip(growth)?;
    let seconds = left as f64 / growth;
    // A growth of zero or less gives what is no duration.
    (growth > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

/// A rule, whether it has fired and not yet come back, and how often it fired.
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

    /// The alert that fired and has not come back.
    pub(crate) const fn open(&self) -> Option<&Alert> {
        self.open.as_ref()
    }

    /// The alert, if the condition has just come to hold. What is unknown changes nothing.
    pub(crate) fn check(&mut self, now: &Situation<'_>) -> Option<Alert> {
        let (value, threshold) = measure(self.rule.condition, now)?;
        // For the time that is left, less is worse: with both signs turned the rest is the same.
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

/// The value a condition looks at, and its threshold.
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
            // Without growth the limit is never reached; with an unknown one nothing is known.
            time_to_limit(now.limit, Some(now.limit_growth_bytes_per_second?))
                .map_or(f64::INFINITY, |left| left.as_secs_f64()),
            time.as_secs_f64(),
        ),
    })
}

/// Whose tasks waited, and for how many percent of the last 10 s.
fn stalled(reading: &Reading) -> Option<(&'static str, f64)> {
    let some = |pressure: &Option<crate::Pressure>| Some(pressure.as_ref()?.some?.avg10_percent);
    some(&reading.cgroup_pressure)
        .map(|percent| ("control group", percent))
        .or_else(|| Some(("machine", some(&reading.pressure)?)))
}

fn message(condition: Condition, now: &Situation<'_>) -> String {
    let unknown = || "an unknown number of bytes".to_owned();
    let shown = |bytes: Option<u64>| bytes.map_or_else(unknown, |b| ByteSize::b(b).to_string());
    let usage = shown(now.reading.usage_bytes());
    let rate = |growth: Option<f64>| ByteSize::b(growth.unwrap_or(0.0).max(0.0) as u64);
    let limit = || match now.limit {
        Some(limit) => format!("{} ({})", ByteSize::b(limit.limit_bytes), limit.origin),
        None => unknown(),
    };
    let way_out = now.limit.map_or("", |limit| way_out(&limit.origin));
    match condition {
        Condition::ShareOfLimit(_) => format!(
            "memory: {} of the limit is used, {} of {}, {} are left; {way_out}",
            now.limit
                .and_then(Limit::share)
                .map_or_else(unknown, percent),
            shown(now.limit.and_then(|limit| limit.used_bytes)),
            limit(),
            shown(now.limit.and_then(Limit::headroom_bytes)),
        ),
        Condition::UsageAbove { usage_bytes } => format!(
            "memory: this process uses {usage}, the threshold is {}; release what is not needed, \
             or see in the spans and parts what takes it",
            ByteSize::b(usage_bytes),
        ),
        Condition::GrowthAbove { bytes_per_second } => format!(
            "memory: this process grows by at least {}/s (threshold {}/s) and uses {usage}; the \
             spans that do not give back what they take show where",
            rate(now.growth_bytes_per_second),
            ByteSize::b(bytes_per_second),
        ),
        Condition::PressureAbove(threshold) => {
            let (whose, percent) = stalled(now.reading).unwrap_or(("machine", f64::NAN));
            format!(
                "memory: tasks of the {whose} waited for memory {percent:.1} % of the last 10 s (threshold \
                 {threshold} %) while this process uses {usage}; stop or shrink something that uses memory there, \
                 or give the {whose} more"
            )
        }
        Condition::TimeToLimitBelow(_) => format!(
            "memory: the limit of {} is reached in about {:.0} s at the present growth of {}/s, {} are used; {way_out}",
            limit(),
            time_to_limit(now.limit, now.limit_growth_bytes_per_second)
                .unwrap_or_default()
                .as_secs_f64(),
            rate(now.limit_growth_bytes_per_second),
            shown(now.limit.and_then(|limit| limit.used_bytes)),
        ),
    }
}

const fn way_out(origin: &LimitOrigin) -> &'static str {
    match origin {
        LimitOrigin::Configured => {
            "release memory, take on no new work, or configure a higher limit"
        }
        LimitOrigin::CgroupMax(_) => {
            "beyond it the kernel kills a process of the group: release memory, take on no new work, \
             or raise the group's limit"
        }
        LimitOrigin::CgroupHigh(_) => {
            "beyond it the kernel slows the group down: release memory, take on no new work, or \
             raise memory.high"
        }
        LimitOrigin::Machine => {
            "beyond it the machine swaps or kills: release memory, take on no new work, or stop \
             other programs"
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests;
