//! Comparisons of the same work in several setups. The processes of the setups take turns.

use bench_report::Spread;
use bench_report::memory::{Comparison, Row};

use super::{Case, Figures, Setup, Task};
use crate::Result;

/// A name, and a function that does the work once.
pub(super) type Way<'a> = (String, Box<dyn Fn() -> Result<Figures> + 'a>);

/// Does the work once in each way, then again, and so on, so that a temporary slowdown of the machine
/// affects all ways.
///
/// # Errors
///
/// The work fails.
pub(super) fn measure(
    case: &str,
    model: &str,
    ways: &[Way<'_>],
    repeats: usize,
) -> Result<Comparison> {
    let mut measured: Vec<Vec<Figures>> = vec![Vec::new(); ways.len()];
    for round in 1..=repeats {
        for ((name, work), measured) in ways.iter().zip(&mut measured) {
            eprintln!("{case}, {model}, {name}, {round} of {repeats}");
            measured.push(work()?);
        }
    }
    Ok(Comparison {
        case: case.to_owned(),
        model: model.to_owned(),
        columns: ways.iter().map(|(name, _)| name.clone()).collect(),
        rows: rows(&measured),
    })
}

/// Runs a task in each setup.
///
/// # Errors
///
/// The task fails.
pub(super) fn of_setups(
    task: &Task,
    setups: &[(&str, Setup)],
    repeats: usize,
) -> Result<Comparison> {
    let ways: Vec<Way<'_>> = setups
        .iter()
        .map(|&(name, setup)| task.with(task.case, setup).way(name))
        .collect();
    measure(&task.case.name(), task.model.name(), &ways, repeats)
}

impl Task {
    /// Returns a copy with another case and setup.
    pub(super) fn with(&self, case: Case, setup: Setup) -> Self {
        Self {
            case,
            setup,
            ..self.clone()
        }
    }

    /// Returns the task as one way of a comparison; each run is a new process.
    pub(super) fn way(self, name: &str) -> Way<'static> {
        (name.to_owned(), Box::new(move || self.run()))
    }
}

/// Returns a row for each figure that any way measured, in the order of first appearance.
fn rows(measured: &[Vec<Figures>]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for figure in measured.iter().flatten().flat_map(Figures::iter) {
        if rows.iter().any(|row| row.figure == figure.name) {
            continue;
        }
        let of_way = |figures: &Vec<Figures>| {
            let values = figures.iter();
            Spread::of(values.filter_map(|figures| figures.get(&figure.name)))
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

    use bench_report::memory::Unit;

    use super::*;

    #[test]
    fn ways_take_turns_and_every_figure_becomes_a_row() {
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
        let comparison = measure("generation", "small", &ways, 3).unwrap();
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
        assert_eq!(peak.values[1].unwrap().max, 7.0);
    }
}
