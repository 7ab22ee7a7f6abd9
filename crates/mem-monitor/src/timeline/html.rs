//! The HTML page of a timeline.

use std::fmt::Write;

use serde::Serialize;

use super::{Timeline, draw::Drawing, style};
use crate::{Breakdown, categories::format_signed};
use bytesize::ByteSize;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

pub(super) fn page(timeline: &Timeline, drawing: &Drawing) -> String {
    let title = escape(&timeline.title);
    // Inline SVG has no XML prologue.
    let svg = drawing
        .svg
        .find("<svg")
        .map_or("", |start| &drawing.svg[start..]);
    let data = data(timeline, drawing);
    let alerts = alerts(timeline);
    let spans = spans(timeline, drawing);
    let at_peak = timeline
        .breakdown_at_peak
        .as_ref()
        .map_or_else(String::new, |table| {
            breakdown("Memory by category at the peak", table)
        });
    let at_end = breakdown("Memory by category at the end", &timeline.breakdown);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <figure id=\"timeline\">\n{svg}\n<div id=\"cursor\" hidden></div>\n\
         <div id=\"values\" hidden></div>\n</figure>\n\
         {alerts}{spans}{at_peak}{at_end}</main>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn alerts(timeline: &Timeline) -> String {
    if timeline.alerts.is_empty() {
        return String::new();
    }
    let rows = timeline.alerts.iter().map(|alert| {
        [
            format!("{:.3} s", alert.elapsed.as_secs_f64()),
            escape(&alert.message),
        ]
    });
    table("Alerts", "prose", &["time", "message"], rows)
}

fn spans(timeline: &Timeline, drawing: &Drawing) -> String {
    if timeline.stats.is_empty() {
        return String::new();
    }
    let shown = |bytes: Option<u64>| bytes.map_or_else(String::new, |b| ByteSize::b(b).to_string());
    let rows = timeline.stats.iter().map(|span| {
        let full = format!("{}::{}", span.target, span.name);
        [
            format!("{}{}", swatch(drawing, span.name), escape(&full)),
            span.calls.to_string(),
            format!("{:.3} s", span.total_time.as_secs_f64()),
            shown(span.peak_bytes),
            shown(span.greatest_rise_bytes),
            span.total_net_bytes.map_or_else(String::new, format_signed),
        ]
    });
    let columns = ["span", "calls", "time", "peak", "largest rise", "net"];
    table("Spans", "figures", &columns, rows)
}

/// Returns a square in the colour of a span.
fn swatch(drawing: &Drawing, name: &str) -> String {
    drawing.layout.colour(name).map_or_else(String::new, |i| {
        let colour = style::hex(style::band(i).light);
        format!("<svg class=\"swatch\"><rect width=\"11\" height=\"11\" fill=\"{colour}\"/></svg>")
    })
}

fn breakdown(caption: &str, breakdown: &Breakdown) -> String {
    let rows = breakdown.rows.iter().map(|row| {
        let [bytes, share] = row.cells(breakdown.rss_bytes);
        [escape(&row.name), bytes, share]
    });
    let total = breakdown
        .rss_bytes
        .map_or_else(|| "unknown".to_owned(), |rss| ByteSize::b(rss).to_string());
    let total = ["resident set".to_owned(), total, String::new()];
    let columns = ["category", "size", "share"];
    table(caption, "figures", &columns, rows.chain([total]))
}

/// Renders a table of HTML cells. `class` is `figures` (aligned right, except for the first column) or
/// `prose` (aligned left).
fn table<const N: usize>(
    caption: &str,
    class: &str,
    columns: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut html = format!("<section><h2>{caption}</h2>\n<table class=\"{class}\">\n<tr>");
    for column in columns {
        // Writing to a string cannot fail.
        let _ = write!(html, "<th>{column}</th>");
    }
    html.push_str("</tr>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _ = write!(html, "<td>{cell}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></section>\n");
    html
}

/// Input of the script that shows values at the pointer.
#[derive(Serialize)]
struct Data<'a> {
    width: u32,
    height: u32,
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    from_s: f64,
    to_s: f64,
    names: Vec<&'a str>,
    colours: Vec<String>,
    /// The middle of a bucket in seconds, then the maximum of each series in MiB.
    points: Vec<Vec<Option<f64>>>,
}

fn data(timeline: &Timeline, drawing: &Drawing) -> String {
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    let frame = drawing.frame;
    let points = timeline.history.iter().map(|bucket| {
        let middle = bucket.start + (bucket.end - bucket.start) / 2;
        let values = timeline.series.iter().map(|metric| {
            bucket
                .get(*metric)
                .map(|stat| rounded(crate::as_mib(stat.max_bytes)))
        });
        [Some(rounded(middle.as_secs_f64()))]
            .into_iter()
            .chain(values)
            .collect()
    });
    let data = Data {
        width: drawing.width,
        height: drawing.height,
        left: frame.left,
        right: frame.right,
        top: frame.top,
        bottom: frame.bottom,
        from_s: frame.from_s,
        to_s: frame.to_s,
        names: timeline.series.iter().map(|m| style::title(*m)).collect(),
        colours: (0..timeline.series.len())
            .map(|i| style::hex(style::series(i).light))
            .collect(),
        points: points.collect(),
    };
    // Only numbers and names of this crate, so the text has no `</script>` and serialization cannot fail.
    serde_json::to_string(&data).unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
