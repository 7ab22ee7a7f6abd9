//! The report of the suite `memory`.

use serde::{Deserialize, Serialize};

use crate::{LoadAverage, Spread};

/// Figure: time from the call that loads or generates to its return.
pub const TIME: &str = "time";
/// Figure: peak RSS since the start of the process.
pub const PEAK_RSS: &str = "peak RSS";
/// Figure: peak of live bytes in the allocator.
pub const HEAP_PEAK: &str = "heap peak";
/// Figure: peak of the bytes that a limit applies to: live heap, mapped weights and device memory.
pub const COUNTED_PEAK: &str = "counted peak";
/// Figure: seconds of audio per second of generation.
pub const TIMES_REAL_TIME: &str = "times real time";
/// Figure: minor page faults per frame during generation.
pub const FAULTS_PER_FRAME: &str = "minor faults per frame";
/// Figure: the limit during generation.
pub const LIMIT: &str = "limit";
/// Prefix of the figures of the second speech of a process.
pub const SECOND: &str = "second: ";

/// Everything that the suite measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Cores of the machine.
    pub cores: usize,
    /// Load averages of the system.
    pub load_average: LoadAverage,
    /// Processes for each case and setup.
    pub repeats: usize,
    /// Cases with all optimisations and without any.
    pub comparisons: Vec<Comparison>,
    /// Speech in every setup.
    pub setups: Vec<Comparison>,
    /// Speech at several limits, with all optimisations and without any.
    pub limits: Vec<Comparison>,
}

/// The same work in several setups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The work.
    pub case: String,
    /// Name of the model.
    pub model: String,
    /// Names of the setups.
    pub columns: Vec<String>,
    /// The figures.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// Returns the row of a figure.
    pub fn row(&self, figure: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.figure == figure)
    }
}

/// A figure in each setup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name of the figure.
    pub figure: String,
    /// Unit of its values.
    pub unit: Unit,
    /// One value for each column.
    pub values: Vec<Option<Spread>>,
}

impl Row {
    /// Returns the value in a column.
    pub fn value(&self, column: usize) -> Option<Spread> {
        self.values.get(column).copied().flatten()
    }
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Bytes; displayed in MiB.
    #[serde(rename = "bytes")]
    Bytes,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Seconds of audio per second of generation.
    #[serde(rename = "x")]
    TimesRealTime,
    /// Percent.
    #[serde(rename = "%")]
    Percent,
    /// A count.
    #[serde(rename = "count")]
    Count,
}

impl Unit {
    /// The divisor and the label of displayed values.
    const fn display(self) -> (f64, &'static str) {
        match self {
            Self::Bytes => (1_048_576.0, "MiB"),
            Self::Milliseconds => (1.0, "ms"),
            Self::Nanoseconds => (1.0, "ns"),
            Self::TimesRealTime => (1.0, "x"),
            Self::Percent => (1.0, "%"),
            Self::Count => (1.0, ""),
        }
    }

    /// Returns the label of displayed values; empty for counts.
    pub const fn label(self) -> &'static str {
        self.display().1
    }

    /// Returns the name of a figure with its unit, unless the name already implies the unit.
    pub fn title(self, name: &str) -> String {
        match self.label() {
            "" | "x" => name.to_owned(),
            label => format!("{name}, {label}"),
        }
    }

    /// Converts a value to the displayed unit.
    pub fn scaled(self, value: f64) -> f64 {
        value / self.display().0
    }

    /// Formats a value without its unit, with three significant digits or no decimals. Whole counts have
    /// no decimals.
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

    /// Formats a value with its unit.
    pub fn show(self, value: f64) -> String {
        let label = self.label();
        let space = if label.is_empty() { "" } else { " " };
        format!("{}{space}{label}", self.number(value))
    }

    /// Formats a distribution: the median with its unit, then minimum and maximum in brackets if they
    /// differ when displayed.
    pub fn show_spread(self, spread: Spread) -> String {
        let [min, max] = [spread.min, spread.max].map(|value| self.number(value));
        let median = self.show(spread.median);
        match min == max {
            true => median,
            false => format!("{median} ({min} - {max})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_values_with_three_significant_digits_and_their_unit() {
        assert_eq!(Unit::Bytes.show(1.5 * 1_048_576.0), "1.50 MiB");
        assert_eq!(Unit::Bytes.show(408.4 * 1_048_576.0), "408 MiB");
        assert_eq!(Unit::Milliseconds.show(12.34), "12.3 ms");
        assert_eq!(Unit::TimesRealTime.show(9.999), "10.0 x");
        assert_eq!(Unit::Count.show(2000.0), "2000");
        assert_eq!(Unit::Count.show(2.5), "2.50");
        assert_eq!(Unit::Bytes.number(-3.0 * 1_048_576.0), "-3.00");
    }

    #[test]
    fn omits_the_range_of_equal_values() {
        let spread = |min, max| Spread {
            median: 2.0,
            min,
            max,
            samples: 3,
        };
        assert_eq!(Unit::Percent.show_spread(spread(2.0, 2.0)), "2.00 %");
        assert_eq!(Unit::Count.show_spread(spread(1.0, 9.0)), "2 (1 - 9)");
    }

    #[test]
    fn reports_survive_serialisation() {
        let report = Report {
            cores: 2,
            load_average: LoadAverage {
                before: Some(0.5),
                after: None,
            },
            repeats: 1,
            comparisons: vec![Comparison {
                case: "loading".to_owned(),
                model: "small".to_owned(),
                columns: vec!["on".to_owned(), "off".to_owned()],
                rows: vec![Row {
                    figure: TIME.to_owned(),
                    unit: Unit::Milliseconds,
                    values: vec![Spread::of([1.5]), None],
                }],
            }],
            setups: Vec::new(),
            limits: Vec::new(),
        };
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
