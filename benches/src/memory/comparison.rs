//! The same work in several ways, which take turns.

use serde::{Deserialize, Serialize};

use super::{Case, Figures, Setup, Task, Unit};
use crate::{Result, Spread, spread};

/// The same work in several ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What was done.
    pub case: String,
    /// The model's name.
    pub model: String,
    /// The ways.
    pub columns: Vec<String>,
    /// What was measured of each.
    pub rows: Vec<Row>,
}

/// A figure of each way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is of.
    pub figure: String,
    /// Its unit.
    pub unit: Unit,
    /// One for each way; `None` where it is not known.
    pub values: Vec<Option<Spread>>,
}

/// A way: its name, and how to do the work once.
pub(super) type Way<'a> = (String, Box<dyn Fn() -> Result<Figures> + 'a>);

impl Comparison {
    /// Does the work in each way once, then in each once more, and so on, so that what slows the
    /// machine down for a while slows down all.
    ///
    /// # Errors
    ///
    /// The work fails.
    pub(super) fn measure(
        case: &str,
        model: &str,
        ways: &[Way<'_>],
        repeats: usize,
    ) -> Result<Self> {
        let mut measured: Vec<Vec<Figures>> = vec![Vec::new(); ways.len()];
        for round in 1..=repeats {
            for ((name, work), measured) in ways.iter().zip(&mut measured) {
                eprintln!("{case}, {model}, {name}, {round} of {repeats}");
                measured.push(work()?);
            }
        }
        Ok(Self {
            case: case.to_owned(),
            model: model.to_owned(),
            columns: ways.iter().map(|(name, _)| name.clone()).collect(),
            rows: rows(&measured),
        })
    }

    /// Does a task in each setup.
    pub(super) fn of_setups(task: &Task, setups: &[(&str, Setup)], repeats: usize) -> Result<Self> {
        let ways: Vec<Way<'_>> = setups
            .iter()
            .map(|&(name, setup)| task.with(task.case, setup).way(name))
            .collect();
        Self::measure(&task.case.name(), task.model.name(), &ways, repeats)
    }

    /// The row of a figure.
    pub fn row(&self, figure: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.figure == figure)
    }
}

impl Task {
    /// The same with another case and setup.
    pub(super) fn with(&self, case: Case, setup: Setup) -> Self {
        Self {
            case,
            setup,
            ..self.clone()
        }
    }

    /// Doing it, as one of the ways of a comparison.
    pub(super) fn way(self, name: &str) -> Way<'static> {
        (name.to_owned(), Box::new(move || self.run()))
    }
}

/// A row for each figure that any of the ways gave, in the order in which they first came.
fn rows(measured: &[Vec<Figures>]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for figure in measured.iter().flatten().flat_map(Figures::iter) {
        if rows.iter().any(|row| row.figure == figure.name) {
            continue;
        }
        let of_way = |figures: &Vec<Figures>| {
            let values = figures.iter();
            spread(values.filter_map(|figures| figures.get(&figure.name)))
        };
        rows.push(Row {
            figure: figure.name.clone(),
            unit: figure.unit,
            values: measured.iter().map(of_way).collect(),
        });
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn ways_take_turns_and_each_figure_is_a_row() {
        let order = RefCell::new(Vec::new());
        let way = |name: &str, times: [f64; 3], peak: Option<f64>| -> Way<'_> {
            let (order, name) = (&order, name.to_owned());
            let key = name.clone();
            let work = move || {
                order.borrow_mut().push(key.clone());
                let round = order.borrow().iter().filter(|&name| *name == key).count();
                let mut figures = Figures::default();
                figures.put("time", Unit::Milliseconds, times[round - 1]);
                figures.put("peak", Unit::Bytes, peak);
                Ok(figures)
            };
            (name, Box::new(work))
        };
        let ways = [
            way("on", [3.0, 1.0, 2.0], None),
            way("off", [5.0, 5.0, 8.0], Some(7.0)),
        ];
        let comparison = Comparison::measure("generation", "small", &ways, 3).unwrap();
        assert_eq!(
            *order.borrow(),
            ["on", "off", "on", "off", "on", "off"].map(str::to_owned)
        );
        assert_eq!(comparison.columns, ["on", "off"]);
        let time = comparison.row("time").unwrap();
        let medians: Vec<_> = time
            .values
            .iter()
            .map(|value| value.unwrap().median)
            .collect();
        assert_eq!(medians, [2.0, 5.0]);
        let peak = comparison.row("peak").unwrap();
        assert_eq!(peak.values[0], None);
        assert_eq!(peak.values[1].unwrap().most, 7.0);
    }
}
