//! A profile, as tables for a terminal.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::table::align;

/// The phases of speech, and how they are called here. A phase that did not happen has no figures.
const PHASES: [(&str, &str); 5] = [
    ("load", "load"),
    ("encode_voice", "encode voice"),
    ("prompt", "prompt"),
    ("generate", "generate"),
    ("decode", "decode"),
];

/// Phases and parts.
///
/// # Errors
///
/// The profile lacks one of the two.
pub(super) fn of(profile: &Value) -> Result<String> {
    let summary = &profile["summary"];
    let (at_peak, at_end) = (&profile["categories_at_peak"], &summary["categories"]);
    Ok(format!(
        "{}\n{}",
        phases(list(summary, "phases")?),
        parts(
            list(at_peak, "rows")?,
            &at_peak["rss"],
            list(at_end, "rows")?,
            &at_end["rss"]
        )
    ))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key]
        .as_array()
        .with_context(|| format!("the profile has no list of {key}"))
}

/// A line for each phase.
fn phases(recorded: &[Value]) -> String {
    let heading = ["phase", "calls", "time s", "in MiB", "out MiB", "peak MiB"];
    let mut rows = vec![heading.map(str::to_owned)];
    for (name, title) in PHASES {
        let phase = recorded.iter().find(|phase| phase["name"] == name);
        let figure = |key: &str| phase.map_or(&Value::Null, |phase| &phase[key]);
        rows.push([
            title.to_owned(),
            figure("calls")
                .as_u64()
                .map_or_else(missing, |calls| calls.to_string()),
            figure("total_time_s")
                .as_f64()
                .map_or_else(missing, |time| format!("{time:.3}")),
            mib(figure("memory_in_bytes")),
            mib(figure("memory_out_bytes")),
            mib(figure("memory_peak_bytes")),
        ]);
    }
    let counted = match recorded.iter().any(|phase| phase["counted"] == "heap") {
        true => "live heap bytes",
        false => "the resident set",
    };
    format!(
        "{}in, out and peak: {counted}, before the first call, after the last, and the most in any; prompt is a part of generate, beside which decode runs\n",
        align(&rows)
    )
}

/// A line for each part, and the whole.
fn parts(at_peak: &[Value], peak: &Value, at_end: &[Value], end: &Value) -> String {
    let mut rows = vec![["part", "at the peak MiB", "at the end MiB"].map(str::to_owned)];
    for part in at_peak {
        let later = at_end.iter().find(|later| later["name"] == part["name"]);
        rows.push([
            part["name"].as_str().unwrap_or("?").to_owned(),
            mib(&part["bytes"]),
            later.map_or_else(missing, |later| mib(&later["bytes"])),
        ]);
    }
    rows.push(["resident set".to_owned(), mib(peak), mib(end)]);
    align(&rows)
}

fn mib(bytes: &Value) -> String {
    bytes.as_f64().map_or_else(missing, |bytes| {
        format!("{:.1}", bytes / f64::from(1 << 20))
    })
}

/// What stands for a figure that is not there.
fn missing() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_phase_and_part_has_a_line_and_what_did_not_happen_dashes() {
        let profile = json!({
            "categories_at_peak": {
                "rss": 50 << 20,
                "rows": [
                    { "name": "weights", "bytes": 20 << 20 },
                    { "name": "unexplained", "bytes": 1 << 20 },
                ],
            },
            "summary": {
            "phases": [{
                "name": "load",
                "calls": 1,
                "total_time_s": 0.0312,
                "counted": "heap",
                "memory_in_bytes": 1 << 20,
                "memory_out_bytes": 21 << 20,
                "memory_peak_bytes": 25 << 20,
            }],
            "categories": {
                "rss": 40 << 20,
                "rows": [
                    { "name": "weights", "bytes": 20 << 20 },
                    { "name": "unexplained", "bytes": -524_288 },
                ],
            },
        }});
        let text = of(&profile).unwrap();
        let row = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let cells = line.expect(name)[name.len()..].split_whitespace();
            cells.collect::<Vec<_>>()
        };
        assert_eq!(row("load"), ["1", "0.031", "1.0", "21.0", "25.0"]);
        assert_eq!(row("encode voice"), ["-"; 5]);
        assert_eq!(row("weights"), ["20.0", "20.0"]);
        assert_eq!(row("unexplained"), ["1.0", "-0.5"]);
        assert_eq!(row("resident set"), ["50.0", "40.0"]);
        assert!(text.contains("live heap bytes"), "{text}");
        let error = of(&json!({ "summary": {} })).unwrap_err();
        assert!(error.to_string().contains("phases"), "{error}");
    }
}
