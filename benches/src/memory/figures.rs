//! What a process measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tensor_pool::Bytes;

/// Of what a figure is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Bytes; shown in MiB.
    #[serde(rename = "bytes")]
    Bytes,
    /// Thousandths of a second.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Billionths of a second.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Seconds of speech made in a second.
    #[serde(rename = "x")]
    TimesRealTime,
    /// Hundredths.
    #[serde(rename = "%")]
    Percent,
    /// A number of things.
    #[serde(rename = "count")]
    Count,
}

impl Unit {
    /// What a value is divided by and the unit that it is shown in.
    const fn shown(self) -> (f64, &'static str) {
        match self {
            Self::Bytes => (1_048_576.0, "MiB"),
            Self::Milliseconds => (1.0, "ms"),
            Self::Nanoseconds => (1.0, "ns"),
            Self::TimesRealTime => (1.0, "x"),
            Self::Percent => (1.0, "%"),
            Self::Count => (1.0, ""),
        }
    }

    /// The unit that [`Self::number`] is in; empty for counts.
    pub const fn label(self) -> &'static str {
        self.shown().1
    }

    /// The name of a figure with the unit of its numbers, unless the name says it.
    pub fn title(self, name: &str) -> String {
        match self.label() {
            "" | "x" => name.to_owned(),
            label => format!("{name}, {label}"),
        }
    }

    /// A value in the unit that it is shown in.
    pub fn scaled(self, value: f64) -> f64 {
        value / self.shown().0
    }

    /// A value without its unit, with three figures or all that are left of the point. Counts are
    /// whole as a rule, and every byte of what is left of a leak counts.
    pub fn number(self, value: f64) -> String {
        let scaled = self.scaled(value);
        let decimals = match scaled.abs() {
            _ if self == Self::Count && scaled.fract() == 0.0 => 0,
            size if size >= 99.95 => 0,
            size if size >= 9.995 => 1,
            _ => 2,
        };
        format!("{scaled:.decimals$}")
    }

    /// A value with its unit.
    pub fn show(self, value: f64) -> String {
        let label = self.label();
        let space = if label.is_empty() { "" } else { " " };
        format!("{}{space}{label}", self.number(value))
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is of.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Its value.
    pub value: f64,
}

/// From the call that loads or speaks to its return.
pub(super) const TIME: &str = "time";

/// The most that was resident, since the process began.
pub(super) const PEAK_RSS: &str = "peak RSS";

/// The most bytes that were live in the allocator at once.
pub(super) const HEAP_PEAK: &str = "heap peak";

/// The most bytes that were counted at once: those, mapped weights and devices' pools.
pub(super) const COUNTED_PEAK: &str = "counted peak";

/// How fast speech was made.
pub(super) const TIMES_REAL_TIME: &str = "times real time";

/// Minor page faults while speech was made, for each of its frames.
pub(super) const FAULTS: &str = "minor faults a frame";

/// The limit that speech was made under.
pub(super) const LIMIT: &str = "limit";

/// All figures of a process, in the order in which they are to be shown. What could not be known is
/// not among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// One figure more.
    pub fn put(&mut self, name: &str, unit: Unit, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.0.push(Figure {
                name: name.to_owned(),
                unit,
                value,
            });
        }
    }

    /// A time.
    pub fn time(&mut self, name: &str, time: Duration) {
        self.put(name, Unit::Milliseconds, time.as_secs_f64() * 1e3);
    }

    /// A number of bytes, if it is known.
    pub fn bytes(&mut self, name: &str, bytes: impl Into<Option<u64>>) {
        self.put(name, Unit::Bytes, bytes.into().map(|bytes| bytes as f64));
    }

    /// What an allocator or a pool counted, if it did.
    pub fn counted(&mut self, name: &str, bytes: Option<Bytes>) {
        self.bytes(name, bytes.map(Bytes::get));
    }

    /// A number of things.
    pub fn count(&mut self, name: &str, count: usize) {
        self.put(name, Unit::Count, count as f64);
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<f64> {
        let figure = self.0.iter().find(|figure| figure.name == name)?;
        Some(figure.value)
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Figure> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_with_three_figures_in_its_unit() {
        assert_eq!(Unit::Bytes.show(1.5 * 1_048_576.0), "1.50 MiB");
        assert_eq!(Unit::Bytes.show(408.4 * 1_048_576.0), "408 MiB");
        assert_eq!(Unit::Milliseconds.show(12.34), "12.3 ms");
        assert_eq!(Unit::TimesRealTime.show(9.999), "10.0 x");
        assert_eq!(Unit::Count.show(2000.0), "2000");
        assert_eq!(Unit::Count.show(2.5), "2.50");
        assert_eq!(Unit::Bytes.number(-3.0 * 1_048_576.0), "-3.00");
    }

    #[test]
    fn what_is_unknown_is_left_out_and_the_order_is_kept() {
        let mut figures = Figures::default();
        figures.bytes("b", 1);
        figures.counted("unknown", None);
        figures.count("a", 2);
        let names: Vec<_> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), figures);
    }
}
