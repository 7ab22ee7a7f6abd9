//! A memory profile by the phases that a program names itself.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{Metric, Reading, alert::as_unix_seconds, lock, reading::as_seconds};

mod layer;

pub use layer::SpanLayer;

/// So many finished spans are kept one by one (about 300 KiB); the statistics count all of them.
const CALLS_KEPT: usize = 2048;

/// What a span's figures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Live heap bytes, of a plugged-in counter.
    Heap,
    /// The resident set.
    Rss,
}

impl Counted {
    const fn metric(self) -> Metric {
        match self {
            Self::Heap => Metric::Heap,
            Self::Rss => Metric::Rss,
        }
    }
}

/// One finished span.
///
/// Figures are of the whole process: what other threads did meanwhile is in them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpanCall {
    /// The span's target, by default the path of the module it is in.
    pub target: &'static str,
    /// The span's name.
    pub name: &'static str,
    /// How many spans it lies in.
    pub level: usize,
    /// When it was first entered.
    #[serde(rename = "time_unix_s", serialize_with = "as_unix_seconds")]
    pub time: SystemTime,
    /// The same since the monitor was made.
    #[serde(rename = "start_s", serialize_with = "as_seconds")]
    pub start: Duration,
    /// When it was last left, since the monitor was made.
    #[serde(rename = "end_s", serialize_with = "as_seconds")]
    pub end: Duration,
    /// What `entry`, `exit` and `peak` count.
    pub counted: Counted,
    /// Memory when it was first entered.
    pub entry_bytes: Option<u64>,
    /// Memory when it was last left.
    pub exit_bytes: Option<u64>,
    /// The most in between that was seen: by samples, at the ends of spans, by the kernel's mark or
    /// the heap counter's peak where they rose in this span, by a window over the counter's peak.
    pub peak_bytes: Option<u64>,
    /// Resident set when it was first entered.
    pub rss_entry_bytes: Option<u64>,
    /// Resident set when it was last left.
    pub rss_exit_bytes: Option<u64>,
}

impl SpanCall {
    /// From first entry to last exit.
    pub fn duration(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    /// How far memory rose above its entry.
    pub fn rise_bytes(&self) -> Option<u64> {
        Some(self.peak_bytes?.saturating_sub(self.entry_bytes?))
    }

    /// What was kept (positive) or given back (negative) from entry to exit, in bytes.
    pub fn net_bytes(&self) -> Option<i64> {
        let (entry, exit) = (self.entry_bytes? as i64, self.exit_bytes? as i64);
        Some(exit.saturating_sub(entry))
    }
}

/// What all finished spans of one name have in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpanStats {
    /// The spans' target.
    pub target: &'static str,
    /// The spans' name.
    pub name: &'static str,
    /// How many were closed.
    pub calls: u64,
    /// Time from first entry to last exit, over all calls.
    #[serde(rename = "total_time_s", serialize_with = "as_seconds")]
    pub total_time: Duration,
    /// What the figures count, by the newest call.
    pub counted: Counted,
    /// Memory at the entry of the first call.
    pub first_entry_bytes: Option<u64>,
    /// Memory at the exit of the last call.
    pub last_exit_bytes: Option<u64>,
    /// The greatest peak of all calls.
    pub peak_bytes: Option<u64>,
    /// How far a call rose above its entry at most.
    pub greatest_rise_bytes: Option<u64>,
    /// What all calls together kept (positive) or gave back (negative), in bytes.
    pub total_net_bytes: Option<i64>,
}

impl SpanStats {
    fn new(call: &SpanCall) -> Self {
        Self {
            target: call.target,
            name: call.name,
            calls: 0,
            total_time: Duration::ZERO,
            counted: call.counted,
            first_entry_bytes: call.entry_bytes,
            last_exit_bytes: None,
            peak_bytes: None,
            greatest_rise_bytes: None,
            total_net_bytes: None,
        }
    }

    fn add(&mut self, call: &SpanCall) {
        self.calls += 1;
        self.total_time += call.duration();
        self.counted = call.counted;
        self.last_exit_bytes = call.exit_bytes;
        self.peak_bytes = self.peak_bytes.max(call.peak_bytes);
        self.greatest_rise_bytes = self.greatest_rise_bytes.max(call.rise_bytes());
        if let Some(net) = call.net_bytes() {
            self.total_net_bytes = Some(self.total_net_bytes.unwrap_or(0).saturating_add(net));
        }
    }
}

/// A span that is open: the greatest value seen since it was entered.
#[derive(Debug)]
struct Open {
    counted: Counted,
    /// 0 where nothing was seen, which no process has.
    peak: AtomicU64,
}

/// What all span layers of a monitor write and its samples feed.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    open: Mutex<Vec<Arc<Open>>>,
    closed: Mutex<Closed>,
    windows: Mutex<Vec<Weak<Mutex<ByName>>>>,
}

type ByName = HashMap<(&'static str, &'static str), SpanStats>;

/// What is known of the spans that finish while this lives; see
/// [`MemoryMonitor::span_window`](crate::MemoryMonitor::span_window).
#[derive(Debug)]
pub struct SpanWindow {
    by_name: Arc<Mutex<ByName>>,
}

impl SpanWindow {
    /// Every span name, most memory first.
    pub fn stats(&self) -> Vec<SpanStats> {
        sorted(&lock(&self.by_name))
    }
}

fn sorted(by_name: &ByName) -> Vec<SpanStats> {
    let mut stats: Vec<_> = by_name.values().cloned().collect();
    stats.sort_by_key(|s| (std::cmp::Reverse(s.greatest_rise_bytes), s.target, s.name));
    stats
}

fn count(by_name: &mut ByName, call: &SpanCall) {
    by_name
        .entry((call.target, call.name))
        .or_insert_with(|| SpanStats::new(call))
        .add(call);
}

#[derive(Debug, Default)]
struct Closed {
    stats: ByName,
    calls: Vec<Arc<SpanCall>>,
}

impl Spans {
    /// A sample was taken: every open span has seen it.
    pub(crate) fn observe(&self, reading: &Reading) {
        for counted in [Counted::Heap, Counted::Rss] {
            if let Some(value) = reading.bytes(counted.metric()) {
                self.raise(counted, value);
            }
        }
    }

    /// Every open span has seen this value. O(open spans).
    fn raise(&self, counted: Counted, value: u64) {
        for open in lock(&self.open)
            .iter()
            .filter(|open| open.counted == counted)
        {
            open.peak.fetch_max(value, Ordering::Relaxed);
        }
    }

    fn open(&self, counted: Counted) -> Arc<Open> {
        let open = Arc::new(Open {
            counted,
            peak: AtomicU64::new(0),
        });
        lock(&self.open).push(Arc::clone(&open));
        open
    }

    fn close(&self, open: &Arc<Open>, call: &Arc<SpanCall>) {
        {
            let mut all = lock(&self.open);
            if let Some(i) = all.iter().position(|other| Arc::ptr_eq(other, open)) {
                all.swap_remove(i);
            }
        }
        lock(&self.windows).retain(|window| {
            let Some(by_name) = window.upgrade() else {
                return false;
            };
            count(&mut lock(&by_name), call);
            true
        });
        let mut closed = lock(&self.closed);
        count(&mut closed.stats, call);
        closed.calls.push(Arc::clone(call));
        if closed.calls.len() > CALLS_KEPT {
            // The longest are what a timeline can show.
            closed
                .calls
                .sort_by_key(|call| std::cmp::Reverse(call.duration()));
            closed.calls.truncate(CALLS_KEPT / 2);
        }
    }

    pub(crate) fn stats(&self) -> Vec<SpanStats> {
        sorted(&lock(&self.closed).stats)
    }

    pub(crate) fn window(&self) -> SpanWindow {
        let by_name = Arc::default();
        lock(&self.windows).push(Arc::downgrade(&by_name));
        SpanWindow { by_name }
    }

    pub(crate) fn calls(&self) -> Vec<Arc<SpanCall>> {
        let mut calls = lock(&self.closed).calls.clone();
        calls.sort_by_key(|call| (call.start, std::cmp::Reverse(call.end)));
        calls
    }

    pub(crate) fn clear(&self) {
        *lock(&self.closed) = Closed::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(i: u64) -> Arc<SpanCall> {
        Arc::new(SpanCall {
            target: "t",
            name: "n",
            level: 0,
            time: SystemTime::UNIX_EPOCH,
            start: Duration::from_secs(i),
            end: Duration::from_secs(i) + Duration::from_millis(i),
            counted: Counted::Rss,
            entry_bytes: Some(100),
            exit_bytes: Some(103),
            peak_bytes: Some(100 + i),
            rss_entry_bytes: None,
            rss_exit_bytes: None,
        })
    }

    #[test]
    fn of_many_calls_the_longest_are_kept_and_all_are_counted() {
        let spans = Spans::default();
        for i in 0..5000 {
            let open = spans.open(Counted::Rss);
            spans.close(&open, &call(i));
        }
        assert!(spans.calls().len() <= CALLS_KEPT);
        assert_eq!(
            spans.calls().last().unwrap().start,
            Duration::from_secs(4999)
        );
        let stats = &spans.stats()[0];
        assert_eq!(stats.calls, 5000);
        assert_eq!(stats.greatest_rise_bytes, Some(4999));
        assert_eq!(stats.total_net_bytes, Some(15_000));
        assert!(lock(&spans.open).is_empty());
    }
}
