//! Spans in the format of `memory_profiler`: one `FUNC` line each.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use crate::{SpanCall, serialize::unix_seconds};

/// `mprof plot` draws two brackets and a legend row per span; more are unreadable.
const MAX_SPANS: usize = 30;

/// Limits spans that repeat often.
const MAX_SPANS_PER_NAME: usize = 3;

/// The number of written lines by target and name.
#[derive(Default)]
pub(in crate::recorder) struct Spans(HashMap<(&'static str, &'static str), usize>);

impl Spans {
    pub(in crate::recorder) fn write(
        &mut self,
        out: &mut impl Write,
        call: &SpanCall,
    ) -> io::Result<()> {
        // The curve and the brackets must show the same quantity.
        let (Some(entry), Some(exit)) = (call.rss_entry_bytes, call.rss_exit_bytes) else {
            return Ok(());
        };
        if self.0.values().sum::<usize>() >= MAX_SPANS {
            return Ok(());
        }
        let count = self.0.entry((call.target, call.name)).or_default();
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

/// Joins `a::b` and `load file` to `a.b.load_file`: names have dots and no blanks.
fn dotted(target: &str, name: &str) -> String {
    format!("{target}.{name}")
        .replace("::", ".")
        .replace(char::is_whitespace, "_")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

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
        Spans::default().write(&mut out, &call(2, "load")).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "FUNC app.load 1.5000 1767225600.1230 2.0000 1767225600.6230 2\n"
        );
    }

    #[test]
    fn repeated_spans_are_written_three_times() {
        let mut out = Vec::new();
        let mut spans = Spans::default();
        for i in 0..100 {
            spans.write(&mut out, &call(i, "frame")).unwrap();
        }
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 3);
    }
}
