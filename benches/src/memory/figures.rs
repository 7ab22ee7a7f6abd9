//! The figures of a process.

use std::time::Duration;

use bench_report::memory::Unit;
use serde::{Deserialize, Serialize};

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name of the figure.
    pub name: String,
    /// Unit of the value.
    pub unit: Unit,
    /// The value.
    pub value: f64,
}

/// The figures of a process in display order. Unknown values are omitted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Adds a figure, unless its value is unknown.
    pub fn put(&mut self, name: &str, unit: Unit, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into() {
            self.0.push(Figure {
                name: name.to_owned(),
                unit,
                value,
            });
        }
    }

    /// Adds a time.
    pub fn time(&mut self, name: &str, time: Duration) {
        self.put(name, Unit::Milliseconds, time.as_secs_f64() * 1e3);
    }

    /// Adds a number of bytes, unless it is unknown.
    pub fn bytes(&mut self, name: &str, bytes: impl Into<Option<u64>>) {
        self.put(name, Unit::Bytes, bytes.into().map(|bytes| bytes as f64));
    }

    /// What an allocator or a pool counted, if it did.
    pub fn counted(&mut self, name: &str, bytes: Option<u64>) {
        self.bytes(name, bytes);
    }

    /// Adds a count.
    pub fn count(&mut self, name: &str, count: usize) {
        self.put(name, Unit::Count, count as f64);
    }

    /// Returns the value of a figure.
    pub fn get(&self, name: &str) -> Option<f64> {
        let figure = self.0.iter().find(|figure| figure.name == name)?;
        Some(figure.value)
    }

    /// Whether there are no figures.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all figures.
    pub fn iter(&self) -> impl Iterator<Item = &Figure> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omits_unknown_values_and_preserves_the_order() {
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
