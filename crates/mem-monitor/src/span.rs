//! Memory statistics of `tracing` spans.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{
    Quantity, Reading, lock,
    serialize::{as_seconds, as_unix_seconds},
};

/// Finished spans that are stored individually (about 300 KiB); the statistics include all spans.
const MAX_CALLS: usize = 2048;

/// One finished span.
///
/// The figures cover the whole process, including other threads.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpanCall {
    /// The span's target, by default its module path.
    pub target: &'static str,
    /// The span's name.
    pub name: &'static str,
    /// The number of enclosing spans.
    pub level: usize,
    /// When the span was first entered.
    #[serde(rename = "time_unix_seconds", serialize_with = "as_unix_seconds")]
    pub time: SystemTime,
    /// Time of the first entry since the monitor was created.
    #[serde(rename = "start_seconds", serialize_with = "as_seconds")]
    pub start: Duration,
    /// Time of the last exit since the monitor was created.
    #[serde(rename = "end_seconds", serialize_with = "as_seconds")]
    pub end: Duration,
    /// The quantity of entry, exit and peak.
    pub quantity: Quantity,
    /// Memory at the first entry.
    pub entry_bytes: Option<u64>,
    /// Memory at the last exit.
    pub exit_bytes: Option<u64>,
    /// Peak in between, from samples, entries and exits of spans, the kernel's high-water mark or the
    /// heap counter's peak if they rose in this span, and a peak window of the counter.
    pub peak_bytes: Option<u64>,
    /// Resident set at the first entry.
    pub rss_entry_bytes: Option<u64>,
    /// Resident set at the last exit.
    pub rss_exit_bytes: Option<u64>,
}

impl SpanCall {
    /// Returns the time from first entry to last exit.
    pub fn duration(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    /// Returns the rise of the peak above the entry.
    pub fn rise_bytes(&self) -> Option<u64> {
        Some(self.peak_bytes?.saturating_sub(self.entry_bytes?))
    }

    /// Returns the change from entry to exit: positive if memory grew.
    pub fn net_bytes(&self) -> Option<i64> {
        let (entry, exit) = (self.entry_bytes? as i64, self.exit_bytes? as i64);
        Some(exit.saturating_sub(entry))
    }
}

/// Statistics of all finished spans of one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpanStats {
    /// The spans' target.
    pub target: &'static str,
    /// The spans' name.
    pub name: &'static str,
    /// The number of closed spans.
    pub calls: u64,
    /// Total time from first entry to last exit.
    #[serde(rename = "total_time_seconds", serialize_with = "as_seconds")]
    pub total_time: Duration,
    /// The quantity of the figures, from the newest call.
    pub quantity: Quantity,
    /// Memory at the entry of the first call.
    pub first_entry_bytes: Option<u64>,
    /// Memory at the exit of the last call.
    pub last_exit_bytes: Option<u64>,
    /// The maximum peak of all calls.
    pub peak_bytes: Option<u64>,
    /// The largest rise above the entry of a call.
    pub greatest_rise_bytes: Option<u64>,
    /// The sum of the changes from entry to exit.
    pub total_net_bytes: Option<i64>,
}

impl SpanStats {
    fn new(call: &SpanCall) -> Self {
        Self {
            target: call.target,
            name: call.name,
            calls: 0,
            total_time: Duration::ZERO,
            quantity: call.quantity,
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
        self.quantity = call.quantity;
        self.last_exit_bytes = call.exit_bytes;
        self.peak_bytes = self.peak_bytes.max(call.peak_bytes);
        self.greatest_rise_bytes = self.greatest_rise_bytes.max(call.rise_bytes());
        if let Some(net) = call.net_bytes() {
            self.total_net_bytes = Some(self.total_net_bytes.unwrap_or(0).saturating_add(net));
        }
    }
}

/// An open span.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) quantity: Quantity,
    /// Maximum since the entry; 0 if unknown.
    peak: AtomicU64,
}

/// The open and closed spans of a monitor.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    open: Mutex<Vec<Arc<Open>>>,
    closed: Mutex<Closed>,
    windows: Mutex<Vec<Weak<Mutex<ByName>>>>,
}

type ByName = HashMap<(&'static str, &'static str), SpanStats>;

/// Statistics of the spans that finish during its lifetime; see
/// [`MemoryMonitor::span_window`](crate::MemoryMonitor::span_window).
#[derive(Debug)]
pub struct SpanWindow {
    by_name: Arc<Mutex<ByName>>,
}

impl SpanWindow {
    /// Returns the statistics by span name, largest rise first.
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

impl Open {
    /// Returns the maximum since the entry.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        Some(self.peak.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

impl Spans {
    /// Updates the peaks of all open spans with a sample.
    pub(crate) fn observe(&self, reading: &Reading) {
        for quantity in [Quantity::Heap, Quantity::Rss] {
            if let Some(value) = reading.bytes(quantity.metric()) {
                self.raise(quantity, value);
            }
        }
    }

    /// Updates the peaks of all open spans with a value. O(open spans).
    pub(crate) fn raise(&self, quantity: Quantity, value: u64) {
        for open in lock(&self.open)
            .iter()
            .filter(|open| open.quantity == quantity)
        {
            open.peak.fetch_max(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn open(&self, quantity: Quantity) -> Arc<Open> {
        let open = Arc::new(Open {
            quantity,
            peak: AtomicU64::new(0),
        });
        lock(&self.open).push(Arc::clone(&open));
        open
    }

    pub(crate) fn close(&self, open: &Arc<Open>, call: &Arc<SpanCall>) {
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
        if closed.calls.len() > MAX_CALLS {
            // A timeline shows the longest spans.
            closed
                .calls
                .sort_by_key(|call| std::cmp::Reverse(call.duration()));
            closed.calls.truncate(MAX_CALLS / 2);
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
            quantity: Quantity::Rss,
            entry_bytes: Some(100),
            exit_bytes: Some(103),
            peak_bytes: Some(100 + i),
            rss_entry_bytes: None,
            rss_exit_bytes: None,
        })
    }

    #[test]
    fn longest_calls_are_stored_and_all_are_counted() {
        let spans = Spans::default();
        for i in 0..5000 {
            let open = spans.open(Quantity::Rss);
            spans.close(&open, &call(i));
        }
        assert!(spans.calls().len() <= MAX_CALLS);
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
