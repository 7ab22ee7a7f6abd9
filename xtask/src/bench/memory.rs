//! The suite `memory`: what it is told, and its report as text for a terminal.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::table::number;
use crate::table::align;

/// What is on and what is off; the page says it at more length.
const EXPLANATION: &str = "on: as the program comes. off: an allocator and a pool that keep nothing, and \
     models left as they were loaded.\n";

/// What the program of the suite is told, behind cargo's own arguments.
///
/// # Errors
///
/// The working folder is gone, so that a relative path means nothing.
pub(super) fn arguments(repeats: u32, reference: Option<&Path>) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = vec!["--".into(), "--repeats".into()];
    arguments.push(repeats.to_string().into());
    if let Some(python) = reference {
        // Cargo starts it in another folder. A name alone is looked for in the search path.
        let python = match python.components().count() {
            1 => python.to_owned(),
            _ => std::path::absolute(python).context("cannot tell the working folder")?,
        };
        arguments.extend(["--reference".into(), python.into()]);
    }
    Ok(arguments)
}

/// The tables: a list of figures for each case, then the limits, then the setups.
pub(super) fn of(report: &Value) -> String {
    let load = |key: &str| number(&report[key], 2);
    let mut text = format!(
        "{} cores, load average {} before and {} after. Each figure is the median (least - most) of {} \
         processes.\n{EXPLANATION}",
        report["cores"],
        load("load_average_before"),
        load("load_average_after"),
        report["repeats"],
    );
    for comparison in list(&report["comparisons"]) {
        text.push_str(&format!("\n{}\n", title(comparison)));
        text.push_str(&figures(comparison));
    }
    let limits = list(&report["limits"]);
    if let Some(first) = limits.first() {
        text.push_str(&format!("\nunder a limit, {}\n", name(&first["model"])));
        text.push_str(&limit_table(limits));
    }
    for comparison in list(&report["setups"]) {
        text.push_str(&format!("\n{} in each setup\n", title(comparison)));
        text.push_str(&setups(comparison));
    }
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn name(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn title(comparison: &Value) -> String {
    let (case, model) = (name(&comparison["case"]), name(&comparison["model"]));
    format!("{case}, {model}")
}

/// A line for each figure; with what the Python package took, where it was measured.
fn figures(comparison: &Value) -> String {
    let columns = list(&comparison["columns"]);
    let rows = list(&comparison["rows"]);
    let heading = |index: usize| columns.get(index).map_or("-", name).to_owned();
    let cells = |row: &Value| {
        let value = |index: usize| show(&row["unit"], &row["values"][index]);
        let ratio = |to: usize| ratio(&row["values"][0], &row["values"][to]);
        let figure = name(&row["figure"]).to_owned();
        [figure, value(0), value(1), ratio(1), value(2), ratio(2)]
    };
    let headings = [
        String::new(),
        heading(0),
        heading(1),
        format!("{} / {}", heading(0), heading(1)),
        heading(2),
        format!("{} / {}", heading(0), heading(2)),
    ];
    if columns.len() > 2 {
        let mut lines = vec![headings];
        lines.extend(rows.iter().map(cells));
        align(&lines)
    } else {
        let first_four = |[a, b, c, d, ..]: [String; 6]| [a, b, c, d];
        let mut lines = vec![first_four(headings)];
        lines.extend(rows.iter().map(|row| first_four(cells(row))));
        align(&lines)
    }
}

/// A line for each limit.
fn limit_table(limits: &[Value]) -> String {
    let mut lines = vec![
        [
            "limit",
            "on: x real time",
            "off: x real time",
            "on: counted peak",
            "off: counted peak",
            "on: peak RSS",
            "off: peak RSS",
        ]
        .map(str::to_owned),
    ];
    lines.extend(limits.iter().map(|limit| {
        let cell = |figure, column| shown(limit, figure, column);
        [
            name(&limit["case"]).to_owned(),
            cell("times real time", 0),
            cell("times real time", 1),
            cell("counted peak", 0),
            cell("counted peak", 1),
            cell("peak RSS", 0),
            cell("peak RSS", 1),
        ]
    }));
    align(&lines)
}

/// A line for each setup.
fn setups(comparison: &Value) -> String {
    const FIGURES: [&str; 6] = [
        "times real time",
        "minor faults a frame",
        "again: times real time",
        "again: minor faults a frame",
        "peak RSS",
        "counted peak",
    ];
    let columns = list(&comparison["columns"]);
    let mut lines = vec![
        [
            "",
            "x real time",
            "faults a frame",
            "again: x real time",
            "again: faults a frame",
            "peak RSS",
            "counted peak",
        ]
        .map(str::to_owned),
    ];
    lines.extend(columns.iter().enumerate().map(|(column, setup)| {
        let [a, b, c, d, e, f] = FIGURES.map(|figure| shown(comparison, figure, column));
        [name(setup).to_owned(), a, b, c, d, e, f]
    }));
    align(&lines)
}

/// A figure of a column.
fn shown(comparison: &Value, figure: &str, column: usize) -> String {
    let mut rows = list(&comparison["rows"]).iter();
    rows.find(|row| row["figure"] == figure)
        .map_or_else(missing, |row| show(&row["unit"], &row["values"][column]))
}

/// Median with its unit, and least and most in brackets.
fn show(unit: &Value, spread: &Value) -> String {
    if spread.is_null() {
        return missing();
    }
    let (scale, label) = match name(unit) {
        "bytes" => (f64::from(1 << 20), " MiB"),
        "ms" => (1.0, " ms"),
        "ns" => (1.0, " ns"),
        "x" => (1.0, " x"),
        "%" => (1.0, " %"),
        _ => (1.0, ""),
    };
    let number = |key: &str| {
        spread[key].as_f64().map_or_else(missing, |value| {
            let value = value / scale;
            let decimals = match value.abs() {
                _ if unit == "count" && value.fract() == 0.0 => 0,
                size if size >= 99.95 => 0,
                size if size >= 9.995 => 1,
                _ => 2,
            };
            format!("{value:.decimals$}")
        })
    };
    let [median, least, most] = ["median", "least", "most"].map(number);
    if least == most {
        return format!("{median}{label}");
    }
    format!("{median}{label} ({least} - {most})")
}

/// One median over another.
fn ratio(ours: &Value, theirs: &Value) -> String {
    let (ours, theirs) = (ours["median"].as_f64(), theirs["median"].as_f64());
    ours.zip(theirs)
        .filter(|&(_, theirs)| theirs != 0.0)
        .map_or_else(missing, |(ours, theirs)| format!("{:.2}", ours / theirs))
}

fn missing() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spread(median: f64, least: f64, most: f64) -> Value {
        json!({ "median": median, "least": least, "most": most, "samples": 5 })
    }

    fn words(text: &str, beginning: &str) -> String {
        let line = text.lines().find(|line| line.starts_with(beginning));
        let line = line.unwrap_or_else(|| panic!("no line {beginning}: {text}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn report() -> Value {
        let mib = f64::from(1 << 20);
        let two = |on: Value, off: Value| json!([on, off]);
        json!({
            "cores": 2,
            "load_average_before": 0.25,
            "load_average_after": null,
            "repeats": 5,
            "comparisons": [
                {
                    "case": "model loading",
                    "model": "small",
                    "columns": ["on", "off"],
                    "rows": [
                        { "figure": "time", "unit": "ms",
                          "values": two(spread(12.5, 11.0, 14.0), spread(25.0, 24.0, 120.0)) },
                        { "figure": "objects left", "unit": "count",
                          "values": two(spread(0.0, 0.0, 0.0), spread(0.0, 0.0, 0.0)) },
                    ],
                },
                {
                    "case": "generation",
                    "model": "large",
                    "columns": ["on", "off", "Python"],
                    "rows": [
                        { "figure": "peak RSS", "unit": "bytes", "values": [
                            spread(400.0 * mib, 399.0 * mib, 401.0 * mib), null,
                            spread(1600.0 * mib, 1600.0 * mib, 1600.0 * mib) ] },
                    ],
                },
            ],
            "limits": [{
                "case": "limit of 30 MiB",
                "model": "small",
                "columns": ["on", "off"],
                "rows": [{ "figure": "times real time", "unit": "x",
                           "values": two(spread(80.0, 79.0, 81.0), Value::Null) }],
            }],
            "setups": [{
                "case": "generation",
                "model": "small",
                "columns": ["on", "mimalloc"],
                "rows": [{ "figure": "again: minor faults a frame", "unit": "per frame",
                           "values": two(spread(0.5, 0.25, 1.0), spread(30.0, 30.0, 30.0)) }],
            }],
        })
    }

    #[test]
    fn figures_stand_beside_each_other_with_their_ratio() {
        let text = of(&report());
        assert!(
            text.contains("load average 0.25 before and - after"),
            "{text}"
        );
        assert_eq!(
            words(&text, "time"),
            "time 12.5 ms (11.0 - 14.0) 25.0 ms (24.0 - 120) 0.50"
        );
        assert_eq!(words(&text, "objects left"), "objects left 0 0 -");
    }

    #[test]
    fn the_python_package_has_columns_where_it_was_measured() {
        let text = of(&report());
        assert!(text.contains("on / Python"), "{text}");
        assert_eq!(
            words(&text, "peak RSS"),
            "peak RSS 400 MiB (399 - 401) - - 1600 MiB 0.25"
        );
    }

    #[test]
    fn limits_and_setups_are_lines() {
        let text = of(&report());
        assert_eq!(
            words(&text, "limit of 30 MiB"),
            "limit of 30 MiB 80.0 x (79.0 - 81.0) - - - - -"
        );
        assert_eq!(words(&text, "mimalloc"), "mimalloc - - - 30.0 - -");
    }

    #[test]
    fn a_path_is_made_absolute_and_a_name_is_left() {
        let told = |python: &str| {
            let arguments = arguments(5, Some(Path::new(python))).unwrap();
            arguments.last().unwrap().clone().into_string().unwrap()
        };
        assert_eq!(told("python3"), "python3");
        assert!(Path::new(&told("venv/bin/python")).is_absolute());
        let without = arguments(7, None).unwrap();
        assert_eq!(without, ["--", "--repeats", "7"]);
    }
}
