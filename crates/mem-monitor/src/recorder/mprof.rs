//! The format of Python's `memory_profiler` 0.61.

use std::{
    collections::HashMap,
    env,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use crate::{Sample, SpanCall, serialize::unix_seconds};

/// `mprof plot` draws two brackets and a legend row per span; more are unreadable.
const MAX_SPANS: usize = 30;

/// Limits spans that repeat often.
const MAX_SPANS_PER_NAME: usize = 3;

/// State between two lines.
#[derive(Default)]
pub(super) struct Mprof {
    /// Time and peak of the previous sample.
    before: Option<(SystemTime, Option<u64>)>,
    spans: HashMap<(&'static str, &'static str), usize>,
}

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    let line = env::args_os()
        .map(|argument| quote(&argument.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ");
    writeln!(out, "CMDLINE {line}")
}

/// Quotes an argument as `mprof` does: in single quotes if it has blanks. Line breaks, which would end
/// the record, become blanks.
fn quote(argument: &str) -> String {
    let line = argument.replace(['\n', '\r'], " ");
    if line.is_empty() || line.contains(char::is_whitespace) {
        format!("'{line}'")
    } else {
        line
    }
}

impl Mprof {
    pub(super) fn sample(&mut self, out: &mut impl Write, sample: &Sample) -> io::Result<()> {
        if let Some((time, peak)) = self.before
            && sample.rss_peak_bytes > peak
            && sample.rss_peak_bytes > sample.reading.bytes(crate::Metric::Rss)
        {
            // The peak is at an unknown time since the previous sample; the middle is the best guess.
            let middle = time + sample.time.duration_since(time).unwrap_or_default() / 2;
            mem(out, sample.rss_peak_bytes, middle)?;
        }
        self.before = Some((sample.time, sample.rss_peak_bytes));
        mem(out, sample.reading.bytes(crate::Metric::Rss), sample.time)
    }

    pub(super) fn span(&mut self, out: &mut impl Write, call: &SpanCall) -> io::Result<()> {
        // The curve and the brackets must show the same quantity.
        let (Some(entry), Some(exit)) = (call.rss_entry_bytes, call.rss_exit_bytes) else {
            return Ok(());
        };
        if self.spans.values().sum::<usize>() >= MAX_SPANS {
            return Ok(());
        }
        let count = self.spans.entry((call.target, call.name)).or_default();
        if *count >= MAX_SPANS_PER_NAME {
            return Ok(());
        }
        *count += 1;
        writeln!(
            out,
            "FUNC {} {:.4} {:.4} {:.4} {:.4} {}",
            dotted(call.target, call.name),
            crate::as_mib(entry),
            unix_seconds(call.time),
            crate::as_mib(exit),
            unix_seconds(call.time + call.duration()),
            call.level
        )
    }
}

fn mem(out: &mut impl Write, bytes: Option<u64>, time: SystemTime) -> io::Result<()> {
    match bytes {
        Some(bytes) => writeln!(
            out,
            "MEM {:.6} {:.4}",
            crate::as_mib(bytes),
            unix_seconds(time)
        ),
        None => Ok(()),
    }
}

/// Joins `a::b` and `load file` to `a.b.load_file`: names have dots and no blanks.
fn dotted(target: &str, name: &str) -> String {
    format!("{target}.{name}")
        .replace("::", ".")
        .replace(char::is_whitespace, "_")
}

/// Returns the file name that `mprof` expects, for the local time `later` than now.
pub(super) fn file_name(later: Duration) -> String {
    let now = jiff::ZonedDateTime::now();
    let at = now.checked_add(later).unwrap_or(now);
    format!("mprofile_{}.dat", at.strftime("%Y%m%d%H%M%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_name_has_fourteen_digits() {
        let name = file_name(Duration::ZERO);
        let digits = name
            .strip_prefix("mprofile_")
            .and_then(|n| n.strip_suffix(".dat"))
            .unwrap();
        assert_eq!(digits.len(), 14);
        assert!(digits.bytes().all(|b| b.is_ascii_digit()), "{name}");
        assert_ne!(name, file_name(Duration::from_secs(1)));
    }

    #[test]
    fn arguments_with_blanks_are_quoted_on_one_line() {
        assert_eq!(quote("plain"), "plain");
        assert_eq!(quote("two words\nand a line"), "'two words and a line'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn names_are_dotted_and_without_blanks() {
        assert_eq!(
            dotted("my_app::loading", "read file"),
            "my_app.loading.read_file"
        );
    }

    fn call(i: usize, name: &'static str) -> SpanCall {
        SpanCall {
            target: "app",
            name,
            level: i,
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_123),
            start: Duration::ZERO,
            end: Duration::from_millis(500),
            quantity: crate::Quantity::Rss,
            entry_bytes: None,
            exit_bytes: None,
            peak_bytes: None,
            rss_entry_bytes: Some(1536 << 10),
            rss_exit_bytes: Some(2 << 20),
        }
    }

    #[test]
    fn span_is_one_func_line() {
        let mut out = Vec::new();
        Mprof::default().span(&mut out, &call(2, "load")).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "FUNC app.load 1.5000 1767225600.1230 2.0000 1767225600.6230 2\n"
        );
    }

    #[test]
    fn repeated_spans_are_written_three_times() {
        let mut out = Vec::new();
        let mut mprof = Mprof::default();
        for i in 0..100 {
            mprof.span(&mut out, &call(i, "frame")).unwrap();
        }
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 3);
    }
}
