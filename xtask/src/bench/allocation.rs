//! The report of the suite `allocation`, as text for a terminal.

use std::fmt::Write as _;

use serde_json::Value;

use super::table::{number, scaled, with_spread};
use crate::table::align;

const MIB: f64 = 1.0 / (1 << 20) as f64;

const REPLAY: [&str; 9] = [
    "replay",
    "first pass ms",
    "pass ms (least - most)",
    "first faults",
    "faults",
    "peak MiB",
    "per live byte",
    "idle MiB",
    "trimmed MiB",
];

const SPEECH: [&str; 6] = [
    "speech",
    "model",
    "threads",
    "x real time (least - most)",
    "faults a frame",
    "peak MiB",
];

/// The tables: each trace and its replay on each allocator, then speech on each.
pub(super) fn of(report: &Value) -> String {
    let load = &report["load_average"];
    let mut text = format!(
        "{} cores, load average {} before and {} after\n\n",
        report["cores"],
        number(&load["before"], 2),
        number(&load["after"], 2),
    );
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for trace in list(&report["traces"]) {
        text.push_str(&recorded(&trace));
        let mut rows = vec![REPLAY.map(str::to_owned)];
        rows.extend(list(&trace["replays"]).iter().map(replay));
        text.push_str(&align(&rows));
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "A byte is written every {} bytes and at the end of each block. MiB are resident beyond the \
         replaying process itself: at most, when all is freed, and when the allocator gave back what \
         it can.\n",
        report["touch_stride_bytes"],
    );
    let mut rows = vec![SPEECH.map(str::to_owned)];
    rows.extend(list(&report["speech"]).iter().map(speech));
    text.push_str(&align(&rows));
    text
}

fn recorded(trace: &Value) -> String {
    let summary = &trace["summary"];
    format!(
        "{} s of speech by {} at {} threads, {} frames: {} threads make {} requests for {} blocks \
         with {} MiB, of them {} of 64 KiB and more with {} MiB; at most {} MiB at once; {} blocks \
         freed by another thread. Replayed, after a block of {} MiB was made and freed as before the \
         recording, by {} threads, {} times in each of {} processes.\n",
        number(&trace["audio_seconds"], 1),
        trace["model"].as_str().unwrap_or("?"),
        trace["threads"],
        trace["frames"],
        summary["threads"],
        summary["requests"],
        summary["blocks"],
        scaled(&summary["bytes"], MIB, 0),
        summary["large_blocks"],
        scaled(&summary["large_bytes"], MIB, 0),
        scaled(&summary["peak_live_bytes"], MIB, 1),
        summary["freed_elsewhere"],
        scaled(&summary["largest_freed_before"], MIB, 1),
        summary["replaying_threads"],
        trace["passes"],
        trace["processes"],
    )
}

fn replay(case: &Value) -> [String; REPLAY.len()] {
    let median = |key: &str| &case[key]["median"];
    [
        case["allocator"].as_str().unwrap_or("?").to_owned(),
        number(median("first_pass_ms"), 1),
        with_spread(&case["pass_ms"]),
        number(median("first_pass_minor_faults"), 0),
        number(median("pass_minor_faults"), 0),
        scaled(median("peak_rss_bytes"), MIB, 1),
        number(median("peak_rss_per_live_byte"), 2),
        scaled(median("idle_rss_bytes"), MIB, 1),
        scaled(median("trimmed_rss_bytes"), MIB, 1),
    ]
}

fn speech(case: &Value) -> [String; SPEECH.len()] {
    [
        case["allocator"].as_str().unwrap_or("?").to_owned(),
        case["model"].as_str().unwrap_or("?").to_owned(),
        case["threads"].to_string(),
        with_spread(&case["times_real_time"]),
        number(&case["minor_faults_per_frame"]["median"], 2),
        scaled(&case["peak_rss_bytes"]["median"], MIB, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_case_is_a_line_and_what_is_missing_is_a_dash() {
        let spread = |median: f64| json!({ "median": median, "least": 1.0, "most": 9.0 });
        let report = json!({
            "traces": [{
                "model": "small",
                "audio_seconds": 16.4,
                "summary": { "large_bytes": 3 << 20 },
                "replays": [{
                    "allocator": "theirs",
                    "pass_ms": spread(2.5),
                    "pass_minor_faults": null,
                    "peak_rss_bytes": spread(1_572_864.0),
                }],
            }],
            "speech": [{
                "allocator": "ours",
                "model": "small",
                "threads": 2,
                "times_real_time": spread(8.0),
                "minor_faults_per_frame": spread(0.5),
            }],
        });
        let text = of(&report);
        assert!(text.contains("16.4 s of speech by small"), "{text}");
        assert!(text.contains("64 KiB and more with 3 MiB"), "{text}");
        let cells = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let line = line.unwrap_or_else(|| panic!("no line {name}: {text}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(cells("theirs"), "theirs - 2.50 (1.00 - 9.00) - - 1.5 - - -");
        assert_eq!(cells("ours"), "ours small 2 8.00 (1.00 - 9.00) 0.50 -");
    }
}
