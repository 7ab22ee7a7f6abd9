//! The report of the suite `speed`, as text for a terminal.

use std::fmt::Write as _;

use serde_json::Value;

use crate::table::align;

const HEADINGS: [&str; 10] = [
    "model",
    "threads",
    "x real time (least - most)",
    "of limit",
    "first audio ms",
    "frame ms",
    "FlowLM ms",
    "Mimi ms",
    "load ms",
    "peak MiB",
];

/// The tables: the machine, then a line for each case.
pub(super) fn of(report: &Value) -> String {
    let mut text = machine(report);
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    let list = |key: &str| report[key].as_array().into_iter().flatten();
    rows.extend(list("cases").map(row));
    rows.extend(list("reference").map(reference_row));
    text.push_str(&align(&rows));
    text.push_str(
        "FlowLM ms and Mimi ms are the parts of a frame; with two threads they overlap.\n\
         The limit of a frame: FlowLM's weights read once from memory, then Mimi's arithmetic; a model that fits into the caches can exceed it.\n",
    );
    text
}

fn machine(report: &Value) -> String {
    let load = &report["load_average"];
    let mut text = format!(
        "{} cores, load average {} before and {} after\n",
        report["cores"],
        number(&load["before"], 2),
        number(&load["after"], 2),
    );
    for limits in report["machine"].as_array().into_iter().flatten() {
        let _ = writeln!(
            text,
            "{} threads: memory {} GB/s, products of f32 matrices {} GFLOP/s",
            limits["threads"],
            number(&limits["gigabytes_per_second"], 1),
            number(&limits["gflop_per_second"], 0),
        );
    }
    for case in report["cases"].as_array().into_iter().flatten() {
        let limit = &case["limit"];
        let _ = writeln!(
            text,
            "limit of {} at {} threads: {} MB and {} MFLOP a frame, {} ms, {} x real time",
            case["model"].as_str().unwrap_or("?"),
            case["threads"],
            scaled(&limit["flow_lm_bytes"], 1e-6, 1),
            scaled(&limit["mimi_flops"], 1e-6, 0),
            number(&limit["frame_ms"], 2),
            number(&limit["times_real_time"], 1),
        );
    }
    text.push('\n');
    text
}

fn row(case: &Value) -> [String; HEADINGS.len()] {
    let of_limit = case["times_real_time"]["median"]
        .as_f64()
        .zip(case["limit"]["times_real_time"].as_f64())
        .map_or_else(missing, |(speed, limit)| {
            format!("{:.0} %", 100.0 * speed / limit)
        });
    [
        case["model"].as_str().unwrap_or("?").to_owned(),
        case["threads"].to_string(),
        with_spread(&case["times_real_time"]),
        of_limit,
        number(&case["first_audio_ms"]["median"], 1),
        number(&case["frame_ms"]["median"], 2),
        number(&case["flow_lm_frame_ms"]["median"], 2),
        number(&case["mimi_frame_ms"]["median"], 2),
        number(&case["load_ms"]["median"], 0),
        scaled(&case["peak_rss_bytes"], 1.0 / f64::from(1 << 20), 0),
    ]
}

fn reference_row(case: &Value) -> [String; HEADINGS.len()] {
    let mut row = row(case);
    row[0].push_str(", Python");
    row[1] = "own".to_owned();
    row
}

/// Median, and least and most in brackets.
pub(super) fn with_spread(value: &Value) -> String {
    if value.is_null() {
        return missing();
    }
    let [median, least, most] = ["median", "least", "most"].map(|key| number(&value[key], 2));
    format!("{median} ({least} - {most})")
}

/// With so many decimals.
pub(super) fn number(value: &Value, decimals: usize) -> String {
    scaled(value, 1.0, decimals)
}

/// Times a factor, with so many decimals.
pub(super) fn scaled(value: &Value, factor: f64, decimals: usize) -> String {
    value
        .as_f64()
        .map_or_else(missing, |value| format!("{:.decimals$}", value * factor))
}

/// What stands for a figure that was not measured.
fn missing() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_stand_beside_the_limit_and_what_is_missing_is_a_dash() {
        let report = json!({
            "cores": 2,
            "load_average": { "before": 0.25, "after": 1.5 },
            "machine": [{ "threads": 2, "gigabytes_per_second": 29.04, "gflop_per_second": 228.4 }],
            "cases": [{
                "model": "small",
                "threads": 2,
                "times_real_time": { "median": 3.0, "least": 2.5, "most": 3.25 },
                "flow_lm_frame_ms": null,
                "peak_rss_bytes": 3 << 20,
                "limit": { "times_real_time": 6.0, "flow_lm_bytes": 1_500_000 },
            }],
        });
        let text = of(&report);
        assert!(
            text.contains("load average 0.25 before and 1.50 after"),
            "{text}"
        );
        assert!(
            text.contains("memory 29.0 GB/s, products of f32 matrices 228 GFLOP/s"),
            "{text}"
        );
        assert!(text.contains("1.5 MB and - MFLOP a frame"), "{text}");
        let row = text.lines().find(|line| line.starts_with("small")).unwrap();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            "small 2 3.00 (2.50 - 3.25) 50 % - - - - - 3"
                .split(' ')
                .collect::<Vec<_>>()
        );
    }
}
