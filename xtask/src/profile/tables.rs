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
    let spans = list(profile, "spans")?;
    let rows = list(&profile["breakdown"], "rows")?;
    Ok(format!(
        "{}\n{}",
        phases(spans),
        parts(rows, &profile["breakdown"]["rss"])
    ))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key]
        .as_array()
        .with_context(|| format!("the profile has no list of {key}"))
}

/// A line for each phase.
fn phases(spans: &[Value]) -> String {
    let heading = ["phase", "calls", "time s", "in MiB", "out MiB", "peak MiB"];
    let mut rows = vec![heading.map(str::to_owned)];
    for (name, title) in PHASES {
        let span = spans.iter().find(|span| span["name"] == name);
        let figure = |key: &str| span.map_or(&Value::Null, |span| &span[key]);
        rows.push([
            title.to_owned(),
            figure("calls")
                .as_u64()
                .map_or_else(missing, |calls| calls.to_string()),
            figure("total_time_s")
                .as_f64()
                .map_or_else(missing, |time| format!("{time:.3}")),
            mib(figure("first_entry_bytes")),
            mib(figure("last_exit_bytes")),
            mib(figure("peak_bytes")),
        ]);
    }
    let counted = match spans.iter().any(|span| span["counted"] == "heap") {
        true => "live heap bytes",
        false => "the resident set",
    };
    format!(
        "{}in, out and peak: {counted}, before the first call, after the last, and the most in any; prompt is a part of generate, beside which decode runs\n",
        align(&rows)
    )
}

/// A line for each part, and the whole.
fn parts(parts: &[Value], resident: &Value) -> String {
    let mut rows = vec![["part", "MiB"].map(str::to_owned)];
    for part in parts {
        let name = part["name"].as_str().unwrap_or("?");
        rows.push([name.to_owned(), mib(&part["bytes"])]);
    }
    rows.push(["resident set".to_owned(), mib(resident)]);
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
