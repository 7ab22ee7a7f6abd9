//! The format of Python's `memory_profiler` 0.61.

use std::{
    env,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use crate::{Metric, Sample, serialize::unix_seconds};

#[cfg(feature = "tracing")]
mod spans;

/// State between two lines.
#[derive(Default)]
pub(super) struct Mprof {
    /// Time and peak of the previous sample.
    before: Option<(SystemTime, Option<u64>)>,
    #[cfg(feature = "tracing")]
    pub(super) spans: spans::Spans,
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
            && sample.rss_peak_bytes > sample.reading.bytes(Metric::Rss)
        {
            // The peak is at an unknown time since the previous sample; the middle is the best guess.
            let middle = time + sample.time.duration_since(time).unwrap_or_default() / 2;
            mem(out, sample.rss_peak_bytes, middle)?;
        }
        self.before = Some((sample.time, sample.rss_peak_bytes));
        mem(out, sample.reading.bytes(Metric::Rss), sample.time)
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
}
