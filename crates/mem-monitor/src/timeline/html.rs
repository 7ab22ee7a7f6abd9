//! The page around the picture.

use std::fmt::Write;

use serde::Serialize;

use super::{Timeline, draw::Drawing, style};
use crate::{Breakdown, parts::signed};
use bytesize::ByteSize;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

pub(super) fn page(timeline: &Timeline, drawing: &Drawing) -> String {
    let title = escape(&timeline.title);
    // The picture is one element here, so it goes without a document's prologue.
    let svg = drawing
        .svg
        .find("<svg")
        .map_or("", |start| &drawing.svg[start..]);
    let data = data(timeline, drawing);
    let alerts = alerts(timeline);
    let spans = spans(timeline, drawing);
    let parts_at_peak = timeline
        .breakdown_at_peak
        .as_ref()
        .map_or_else(String::new, |table| {
            parts("Where the bytes were at the peak", table)
        });
    let parts_now = parts("Where the bytes are now", &timeline.breakdown);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <figure id=\"timeline\">\n{svg}\n<div id=\"cursor\" hidden></div>\n\
         <div id=\"values\" hidden></div>\n</figure>\n\
         {alerts}{spans}{parts_at_peak}{parts_now}</main>\n\
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
            span.total_net_bytes.map_or_else(String::new, signed),
        ]
    });
    let columns = ["span", "calls", "time", "peak", "greatest rise", "kept"];
    table("Spans", "figures", &columns, rows)
}

/// A square of a span's colour, if it has one.
fn swatch(drawing: &Drawing, name: &str) -> String {
    drawing.layout.colour(name).map_or_else(String::new, |i| {
        let colour = style::hex(style::band(i).light);
        format!("<svg class=\"swatch\"><rect width=\"11\" height=\"11\" fill=\"{colour}\"/></svg>")
    })
}

fn parts(caption: &str, breakdown: &Breakdown) -> String {
    let rows = breakdown.rows.iter().map(|row| {
        let [bytes, share] = row.cells(breakdown.rss_bytes);
        [escape(&row.name), bytes, share]
    });
    let total = breakdown
        .rss_bytes
        .map_or_else(|| "unknown".to_owned(), |rss| ByteSize::b(rss).to_string());
    let total = ["resident set".to_owned(), total, String::new()];
    let columns = ["part", "bytes", "share"];
    table(caption, "figures", &columns, rows.chain([total]))
}

/// A table of cells that are HTML already, of `figures` (to the right, but for the first column) or of `prose` (to the left).
fn table<const N: usize>(
    caption: &str,
    class: &str,
    columns: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut html = format!("<section><h2>{caption}</h2>\n<table class=\"{class}\">\n<tr>");
    for column in columns {
        // Writing to a string does not fail.
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

/// What the script shows under the pointer.
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
    /// Middle of a bucket in seconds, then the greatest value of each series in MiB.
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
    // Numbers and this crate's own names: no `</script>` can be in it, and nothing that fails.
    serde_json::to_string(&data).unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
