//! The HTML page with plots.

use bench_report::Spread;
use bench_report::memory::{
    Comparison, LIMIT, PEAK_RSS, Report, Row, SECOND, TIME, TIMES_REAL_TIME, Unit,
};
use std::fmt::Write as _;

use super::palette;
use super::plot::{Bars, Group, Lines};
use crate::{BenchModel, Result};

const STYLE: &str = include_str!("page/page.css");

/// Returns a self-contained page with plots and all figures.
///
/// # Errors
///
/// A plot cannot be drawn.
pub fn page(report: &Report) -> Result<String> {
    let mut body = introduction(report);
    body.push_str("<h2>With and without optimisations</h2>\n");
    for model in BenchModel::ALL {
        for plot in on_and_off(report, model)? {
            figure(&mut body, &plot);
        }
    }
    if let Some(plot) = limits(report)? {
        body.push_str(
            "<h2>Speech under a limit</h2>\n<p>A text of eight segments. The batch size is \
             as large as the limit allows.</p>\n",
        );
        figure(&mut body, &plot);
    }
    body.push_str(
        "<h2>Effect of each optimisation</h2>\n<p>Speech with all optimisations but one, and on \
         other allocators, with the optimisations that do not depend on ours.</p>\n",
    );
    for plot in setups(report)? {
        figure(&mut body, &plot);
    }
    body.push_str("<h2>All figures</h2>\n");
    let all = report.comparisons.iter().chain(&report.limits);
    for comparison in all.chain(&report.setups) {
        table(&mut body, comparison);
    }
    let colours = palette::rules();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Memory benchmark</title>\n\
         <style>\n{colours}{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    ))
}

fn introduction(report: &Report) -> String {
    let load = |load: Option<f64>| load.map_or("unknown".to_owned(), |load| format!("{load:.2}"));
    format!(
        "<h1>Memory benchmark</h1>\n<p><em>On</em> is the program with its defaults: the \
         allocator retains large blocks and requests huge pages, the pool retains tensors, and a model \
         releases the weights that generation does not need. <em>Off</em> is the same program with an \
         allocator and a pool that retain nothing, and with models that release nothing.</p>\n\
         <p>Each figure is the median (min - max) of {} processes, which took turns. {} cores, \
         load average {} before and {} after.</p>\n",
        report.repeats,
        report.cores,
        load(report.load_average.before),
        load(report.load_average.after),
    )
}

/// Returns plots of the peaks and times of a model, on and off.
fn on_and_off(report: &Report, model: BenchModel) -> Result<Vec<String>> {
    let name = model.name();
    let groups = |figure: &str| -> Vec<Group> {
        let of_model = report.comparisons.iter().filter(|done| done.model == name);
        of_model
            .filter_map(|done| Some(Group::new(done.case.clone(), bars(done, figure)?)))
            .collect()
    };
    let peaks = Bars {
        title: format!("Peak RSS, {name} model"),
        unit: Unit::Bytes,
        groups: groups(PEAK_RSS),
    };
    let times = Bars {
        title: format!("Time, {name} model; each group on its own scale"),
        unit: Unit::Milliseconds,
        groups: groups(TIME),
    };
    [peaks.on_one_scale(), times]
        .iter()
        .filter(|plot| !plot.groups.is_empty())
        .map(Bars::svg)
        .collect()
}

/// Returns a bar for each column with a value of the figure.
fn bars(comparison: &Comparison, figure: &str) -> Option<Vec<(String, Spread)>> {
    let row = comparison.row(figure)?;
    let columns = comparison.columns.iter().cloned();
    let known = columns
        .zip(&row.values)
        .filter_map(|(column, value)| Some((column, (*value)?)));
    Some(known.collect())
}

fn setups(report: &Report) -> Result<Vec<String>> {
    let mut plots = Vec::new();
    for comparison in &report.setups {
        for (figure, title, unit) in [
            (
                TIMES_REAL_TIME,
                "Times real time, first speech",
                Unit::TimesRealTime,
            ),
            (
                &format!("{SECOND}{TIMES_REAL_TIME}"),
                "Times real time, second speech",
                Unit::TimesRealTime,
            ),
            (PEAK_RSS, "Peak RSS", Unit::Bytes),
        ] {
            let Some(bars) = bars(comparison, figure) else {
                continue;
            };
            let groups = bars
                .into_iter()
                .map(|(setup, spread)| Group::new(setup.clone(), vec![(setup, spread)]));
            let plot = Bars {
                title: format!("{title}, {} model", comparison.model),
                unit,
                groups: groups.collect(),
            };
            plots.push(plot.on_one_scale().svg()?);
        }
    }
    Ok(plots)
}

/// Returns a plot of the speed over the limit; `None` without measured limits.
fn limits(report: &Report) -> Result<Option<String>> {
    let Some(first) = report.limits.first() else {
        return Ok(None);
    };
    let curve = |(column, name): (usize, &String)| {
        let point = |done: &Comparison| {
            let value = |figure| done.row(figure)?.values.get(column).copied().flatten();
            Some((value(LIMIT)?.median, value(TIMES_REAL_TIME)?))
        };
        let points = report.limits.iter().filter_map(point).collect();
        (name.clone(), points)
    };
    let plot = Lines {
        title: format!("Speed over the limit, {} model", first.model),
        x_name: "limit".to_owned(),
        x_unit: Unit::Bytes,
        y_name: "times real time".to_owned(),
        y_unit: Unit::TimesRealTime,
        curves: first.columns.iter().enumerate().map(curve).collect(),
    };
    Ok(Some(plot.svg()?))
}

fn figure(body: &mut String, svg: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(body, "<figure>\n{svg}</figure>");
}

/// Writes a table. Few setups are columns; many are rows.
fn table(body: &mut String, comparison: &Comparison) {
    const FEW: usize = 3;
    let rows = &comparison.rows;
    let heading = |row: &Row| row.unit.title(&row.figure);
    let cell = |unit: Unit, value: &Option<Spread>| {
        value.map_or("-".to_owned(), |spread| {
            let [median, min, max] =
                [spread.median, spread.min, spread.max].map(|value| unit.number(value));
            format!("{median} ({min} - {max})")
        })
    };
    let mut lines: Vec<Vec<String>> = Vec::new();
    if comparison.columns.len() <= FEW {
        let names = comparison.columns.iter().cloned();
        lines.push([String::new()].into_iter().chain(names).collect());
        for row in rows {
            let cells = row.values.iter().map(|value| cell(row.unit, value));
            lines.push([heading(row)].into_iter().chain(cells).collect());
        }
    } else {
        let names = rows.iter().map(heading);
        lines.push([String::new()].into_iter().chain(names).collect());
        for (column, name) in comparison.columns.iter().enumerate() {
            let cells = rows.iter().map(|row| cell(row.unit, &row.values[column]));
            lines.push([name.clone()].into_iter().chain(cells).collect());
        }
    }
    let (case, model) = (escape(&comparison.case), escape(&comparison.model));
    // Writing to a string cannot fail.
    let _ = writeln!(body, "<section><h3>{case}, {model}</h3>\n<table>");
    for (number, line) in lines.iter().enumerate() {
        let tag = if number == 0 { "th" } else { "td" };
        body.push_str("<tr>");
        for cell in line {
            let _ = write!(body, "<{tag}>{}</{tag}>", escape(cell));
        }
        body.push_str("</tr>\n");
    }
    body.push_str("</table></section>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_report::LoadAverage;

    fn row(figure: &str, unit: Unit, values: &[Option<f64>]) -> Row {
        let spread = |value: &Option<f64>| {
            value.map(|median| Spread {
                median,
                min: 0.9 * median,
                max: 1.2 * median,
                samples: 5,
            })
        };
        Row {
            figure: figure.to_owned(),
            unit,
            values: values.iter().map(spread).collect(),
        }
    }

    fn comparison(case: &str, columns: &[&str], rows: Vec<Row>) -> Comparison {
        Comparison {
            case: case.to_owned(),
            model: "built-in".to_owned(),
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            rows,
        }
    }

    fn report() -> Report {
        let on_and_off = ["on", "off"];
        let limit = |bytes: f64, off: Option<f64>| {
            let rows = vec![
                row(LIMIT, Unit::Bytes, &[Some(bytes), off.map(|_| bytes)]),
                row(TIMES_REAL_TIME, Unit::TimesRealTime, &[Some(80.0), off]),
            ];
            comparison("limit", &on_and_off, rows)
        };
        Report {
            cores: 2,
            load_average: LoadAverage {
                before: Some(0.25),
                after: None,
            },
            repeats: 5,
            comparisons: vec![comparison(
                "generation",
                &on_and_off,
                vec![
                    row(PEAK_RSS, Unit::Bytes, &[Some(4e7), Some(5e7)]),
                    row(TIME, Unit::Milliseconds, &[Some(200.0), Some(300.0)]),
                ],
            )],
            setups: vec![comparison(
                "generation",
                &["on", "off", "System", "a < b"],
                vec![row(
                    TIMES_REAL_TIME,
                    Unit::TimesRealTime,
                    &[Some(81.0), Some(60.0), None, Some(3.0)],
                )],
            )],
            limits: vec![limit(3e7, None), limit(4e7, Some(50.0))],
        }
    }

    #[test]
    fn page_has_all_figures_and_loads_nothing() {
        let page = page(&report()).unwrap();
        assert!(
            page.contains("load average 0.25 before and unknown after"),
            "{page}"
        );
        assert!(
            page.contains("<td>time, ms</td><td>200 (180 - 240)</td>"),
            "{page}"
        );
        assert!(page.contains("<td>System</td><td>-</td>"), "{page}");
        assert!(page.contains("<td>a &lt; b</td>"), "{page}");
        // A point for each sufficient limit: two on, one off.
        assert_eq!(page.matches("<circle").count(), 3, "{page}");
        assert!(!page.contains("src=") && !page.contains("href="), "{page}");
    }

    #[test]
    fn report_without_figures_has_no_plots() {
        let empty = Report {
            comparisons: Vec::new(),
            setups: Vec::new(),
            limits: Vec::new(),
            ..report()
        };
        assert!(!page(&empty).unwrap().contains("<svg"));
    }
}
