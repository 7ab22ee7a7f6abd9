//! The recorded profile, as tables for a terminal.

use serde::Deserialize;

use crate::table;

/// The phases of a run, with their titles. A phase that did not run has no figures.
const PHASES: [(&str, &str); 5] = [
    ("load", "load"),
    ("encode_voice", "encode voice"),
    ("prompt", "prompt"),
    ("generate", "generate"),
    ("decode", "decode"),
];

/// The fields of a profile that the tables show.
#[derive(Debug, Deserialize)]
pub(super) struct Profile {
    categories_at_peak: Breakdown,
    summary: Summary,
}

#[derive(Debug, Deserialize)]
struct Summary {
    phases: Vec<Phase>,
    categories: Breakdown,
}

#[derive(Debug, Deserialize)]
struct Phase {
    name: String,
    calls: Option<u64>,
    total_time_s: Option<f64>,
    /// `heap` if the figures are live heap bytes; otherwise they are RSS.
    counted: Option<String>,
    memory_in_bytes: Option<f64>,
    memory_out_bytes: Option<f64>,
    memory_peak_bytes: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Breakdown {
    rss_bytes: Option<f64>,
    rows: Vec<Category>,
}

#[derive(Debug, Deserialize)]
struct Category {
    name: String,
    bytes: Option<f64>,
}

/// Formats the phases, then the categories.
pub(super) fn text(profile: &Profile) -> String {
    let summary = &profile.summary;
    format!(
        "{}\n{}",
        phases(&summary.phases),
        categories(&profile.categories_at_peak, &summary.categories)
    )
}

/// Formats one row for each phase.
fn phases(recorded: &[Phase]) -> String {
    let header = ["phase", "calls", "time s", "in MiB", "out MiB", "peak MiB"];
    let rows = PHASES.map(|(name, title)| {
        let phase = recorded.iter().find(|phase| phase.name == name);
        let bytes = |field: fn(&Phase) -> Option<f64>| mib(phase.and_then(field));
        [
            title.to_owned(),
            phase
                .and_then(|phase| phase.calls)
                .map_or_else(missing, |calls| calls.to_string()),
            phase
                .and_then(|phase| phase.total_time_s)
                .map_or_else(missing, |time| format!("{time:.3}")),
            bytes(|phase| phase.memory_in_bytes),
            bytes(|phase| phase.memory_out_bytes),
            bytes(|phase| phase.memory_peak_bytes),
        ]
    });
    let is_heap = |phase: &Phase| phase.counted.as_deref() == Some("heap");
    let counted = match recorded.iter().any(is_heap) {
        true => "live heap bytes",
        false => "RSS",
    };
    format!(
        "{}in, out and peak: {counted} before the first call, after the last call, and the maximum over \
         all calls; prompt is part of generate; decode runs concurrently with generate\n",
        table::format(header, rows)
    )
}

/// Formats one row for each category, and the RSS.
fn categories(at_peak: &Breakdown, at_end: &Breakdown) -> String {
    let header = ["category", "at the peak MiB", "at the end MiB"];
    let mut rows: Vec<_> = at_peak
        .rows
        .iter()
        .map(|category| {
            let same = |other: &&Category| other.name == category.name;
            let end = at_end.rows.iter().find(same);
            [
                category.name.clone(),
                mib(category.bytes),
                mib(end.and_then(|category| category.bytes)),
            ]
        })
        .collect();
    rows.push([
        "RSS".to_owned(),
        mib(at_peak.rss_bytes),
        mib(at_end.rss_bytes),
    ]);
    table::format(header, rows)
}

fn mib(bytes: Option<f64>) -> String {
    bytes.map_or_else(missing, |bytes| {
        format!("{:.1}", bytes / f64::from(1 << 20))
    })
}

/// The placeholder for a missing figure.
fn missing() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prints_a_row_for_each_phase_and_category() {
        let profile = json!({
            "categories_at_peak": {
                "rss_bytes": 50 << 20,
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
                    "rss_bytes": 40 << 20,
                    "rows": [
                        { "name": "weights", "bytes": 20 << 20 },
                        { "name": "unexplained", "bytes": -524_288 },
                    ],
                },
            },
        });
        let text = text(&serde_json::from_value(profile).unwrap());
        let row = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let cells = line.expect(name)[name.len()..].split_whitespace();
            cells.collect::<Vec<_>>()
        };
        assert_eq!(row("load"), ["1", "0.031", "1.0", "21.0", "25.0"]);
        assert_eq!(row("encode voice"), ["-"; 5]);
        assert_eq!(row("weights"), ["20.0", "20.0"]);
        assert_eq!(row("unexplained"), ["1.0", "-0.5"]);
        assert_eq!(row("RSS"), ["50.0", "40.0"]);
        assert!(text.contains("live heap bytes"), "{text}");
    }

    #[test]
    fn names_the_missing_key_of_an_incomplete_profile() {
        let error = serde_json::from_value::<Profile>(json!({ "summary": {} })).unwrap_err();
        assert!(error.to_string().contains("phases"), "{error}");
    }
}
