//! The suite `memory`: its arguments, and its report as text for a terminal.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use bench_report::memory::{
    COUNTED_PEAK, Comparison, FAULTS_PER_FRAME, PEAK_RSS, Report, Row, SECOND, TIMES_REAL_TIME,
};

use super::display::{number, ratio};
use crate::table;

/// The meaning of the two main setups; the HTML page has a longer explanation.
const EXPLANATION: &str = "on: the defaults of the program. off: an allocator and a pool that retain nothing, and \
     models without memory optimisation.\n";

/// Returns the arguments of the suite's program, to be appended to cargo's.
///
/// # Errors
///
/// The working folder does not exist, so that a relative path cannot be resolved.
pub(super) fn arguments(repeats: u32, reference: Option<&Path>) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = vec!["--".into(), "--repeats".into()];
    arguments.push(repeats.to_string().into());
    if let Some(python) = reference {
        // Cargo starts the program in another folder. A bare name is looked up in the search path.
        let python = match python.components().count() {
            1 => python.to_owned(),
            _ => std::path::absolute(python).context("cannot resolve the working folder")?,
        };
        arguments.extend(["--reference".into(), python.into()]);
    }
    Ok(arguments)
}

/// Formats the figures of each case, then the limits, then the setups.
pub(super) fn text(report: &Report) -> String {
    let load = report.load_average;
    let mut text = format!(
        "{} cores, load average {} before and {} after. Each figure is the median (min - max) of {} \
         processes.\n{EXPLANATION}",
        report.cores,
        number(load.before, 2),
        number(load.after, 2),
        report.repeats,
    );
    for comparison in &report.comparisons {
        text.push_str(&format!("\n{}\n", title(comparison)));
        text.push_str(&figures(comparison));
    }
    if let Some(first) = report.limits.first() {
        text.push_str(&format!("\nunder a limit, {}\n", first.model));
        text.push_str(&limits(&report.limits));
    }
    for comparison in &report.setups {
        text.push_str(&format!("\n{} in each setup\n", title(comparison)));
        text.push_str(&setups(comparison));
    }
    text
}

fn title(comparison: &Comparison) -> String {
    format!("{}, {}", comparison.case, comparison.model)
}

/// Formats one row for each figure, with the ratios of the first column to the others.
fn figures(comparison: &Comparison) -> String {
    let columns = &comparison.columns;
    let first = columns.first().map_or("", String::as_str);
    let mut header = vec![String::new(), first.to_owned()];
    for column in columns.iter().skip(1) {
        header.push(column.clone());
        header.push(format!("{first} / {column}"));
    }
    let rows = comparison.rows.iter().map(|row| {
        let mut cells = vec![row.figure.clone(), cell(row, 0)];
        for column in 1..columns.len() {
            cells.push(cell(row, column));
            cells.push(ratio(row.value(0), row.value(column)));
        }
        cells
    });
    table::format(header, rows)
}

/// Formats one row for each limit.
fn limits(limits: &[Comparison]) -> String {
    let header = [
        "limit",
        "on: x real time",
        "off: x real time",
        "on: counted peak",
        "off: counted peak",
        "on: peak RSS",
        "off: peak RSS",
    ];
    let rows = limits.iter().map(|limit| {
        [
            limit.case.clone(),
            figure(limit, TIMES_REAL_TIME, 0),
            figure(limit, TIMES_REAL_TIME, 1),
            figure(limit, COUNTED_PEAK, 0),
            figure(limit, COUNTED_PEAK, 1),
            figure(limit, PEAK_RSS, 0),
            figure(limit, PEAK_RSS, 1),
        ]
    });
    table::format(header, rows)
}

/// Formats one row for each setup.
fn setups(comparison: &Comparison) -> String {
    let header = [
        "",
        "x real time",
        "faults per frame",
        "second: x real time",
        "second: faults per frame",
        "peak RSS",
        "counted peak",
    ];
    let rows = comparison
        .columns
        .iter()
        .enumerate()
        .map(|(column, setup)| {
            [
                setup.clone(),
                figure(comparison, TIMES_REAL_TIME, column),
                figure(comparison, FAULTS_PER_FRAME, column),
                figure(comparison, &format!("{SECOND}{TIMES_REAL_TIME}"), column),
                figure(comparison, &format!("{SECOND}{FAULTS_PER_FRAME}"), column),
                figure(comparison, PEAK_RSS, column),
                figure(comparison, COUNTED_PEAK, column),
            ]
        });
    table::format(header, rows)
}

fn figure(comparison: &Comparison, name: &str, column: usize) -> String {
    comparison
        .row(name)
        .map_or_else(|| number(None, 0), |row| cell(row, column))
}

fn cell(row: &Row, column: usize) -> String {
    row.value(column)
        .map_or_else(|| number(None, 0), |value| row.unit.show_spread(value))
}

#[cfg(test)]
mod tests {
    use bench_report::memory::{TIME, Unit};
    use bench_report::{LoadAverage, Spread};

    use super::*;

    const MIB: f64 = 1_048_576.0;

    fn spread(median: f64, min: f64, max: f64) -> Option<Spread> {
        Some(Spread {
            median,
            min,
            max,
            samples: 5,
        })
    }

    fn row(figure: &str, unit: Unit, values: &[Option<Spread>]) -> Row {
        Row {
            figure: figure.to_owned(),
            unit,
            values: values.to_vec(),
        }
    }

    fn comparison(case: &str, model: &str, columns: &[&str], rows: Vec<Row>) -> Comparison {
        Comparison {
            case: case.to_owned(),
            model: model.to_owned(),
            columns: columns.iter().map(ToString::to_string).collect(),
            rows,
        }
    }

    fn cells(text: &str, start: &str) -> String {
        let line = text.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("no line {start}: {text}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn report() -> Report {
        let time = [spread(12.5, 11.0, 14.0), spread(25.0, 24.0, 120.0)];
        let zero = spread(0.0, 0.0, 0.0);
        let loading = vec![
            row(TIME, Unit::Milliseconds, &time),
            row("objects left", Unit::Count, &[zero, zero]),
        ];
        let peaks = [
            spread(400.0 * MIB, 399.0 * MIB, 401.0 * MIB),
            None,
            spread(1600.0 * MIB, 1600.0 * MIB, 1600.0 * MIB),
        ];
        let speed = [spread(80.0, 79.0, 81.0), None];
        let faults = [spread(0.5, 0.25, 1.0), spread(30.0, 30.0, 30.0)];
        Report {
            cores: 2,
            load_average: LoadAverage {
                before: Some(0.25),
                after: None,
            },
            repeats: 5,
            comparisons: vec![
                comparison("model loading", "small", &["on", "off"], loading),
                comparison(
                    "generation",
                    "large",
                    &["on", "off", "Python"],
                    vec![row(PEAK_RSS, Unit::Bytes, &peaks)],
                ),
            ],
            limits: vec![comparison(
                "limit of 30 MiB",
                "small",
                &["on", "off"],
                vec![row(TIMES_REAL_TIME, Unit::TimesRealTime, &speed)],
            )],
            setups: vec![comparison(
                "generation",
                "small",
                &["on", "mimalloc"],
                vec![row(
                    &format!("{SECOND}{FAULTS_PER_FRAME}"),
                    Unit::Count,
                    &faults,
                )],
            )],
        }
    }

    #[test]
    fn prints_figures_with_their_ratio() {
        let text = text(&report());
        assert!(
            text.contains("load average 0.25 before and - after"),
            "{text}"
        );
        assert_eq!(
            cells(&text, "time"),
            "time 12.5 ms (11.0 - 14.0) 25.0 ms (24.0 - 120) 0.50"
        );
        assert_eq!(cells(&text, "objects left"), "objects left 0 0 -");
    }

    #[test]
    fn prints_columns_for_the_python_package_if_measured() {
        let text = text(&report());
        assert!(text.contains("on / Python"), "{text}");
        assert_eq!(
            cells(&text, "peak RSS"),
            "peak RSS 400 MiB (399 - 401) - - 1600 MiB 0.25"
        );
    }

    #[test]
    fn prints_a_row_for_each_limit_and_setup() {
        let text = text(&report());
        assert_eq!(
            cells(&text, "limit of 30 MiB"),
            "limit of 30 MiB 80.0 x (79.0 - 81.0) - - - - -"
        );
        assert_eq!(cells(&text, "mimalloc"), "mimalloc - - - 30 - -");
    }

    #[test]
    fn resolves_paths_but_not_bare_names() {
        let last = |python: &str| {
            let arguments = arguments(5, Some(Path::new(python))).unwrap();
            arguments.last().unwrap().clone().into_string().unwrap()
        };
        assert_eq!(last("python3"), "python3");
        assert!(Path::new(&last("venv/bin/python")).is_absolute());
        let without = arguments(7, None).unwrap();
        assert_eq!(without, ["--", "--repeats", "7"]);
    }
}
