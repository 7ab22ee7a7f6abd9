//! What the phases of speech took.

use std::fmt;
use std::time::Duration;

use mem_monitor::{Counted, SpanStats};
use serde::{Deserialize, Serialize};
use tensor_pool::Bytes;

use super::bytes::of_monitor;
use super::table::{self, shown};

/// The engine's phases, in the order in which they come.
const ORDER: [&str; 6] = [
    "load",
    "encode_voice",
    "prompt",
    "generate",
    "step",
    "decode",
];

/// A phase: a `tracing` span by its name. The engine's are `load`, `encode_voice`, `prompt`, `generate`
/// (a part of the text: its prompt and its steps), `step` (one frame's latent) and `decode` (audio of
/// some frames); a program's own spans are phases too.
///
/// Figures are of the whole process: phases that run at the same time are in each other's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Phase {
    /// The span's name.
    pub name: String,
    /// How many ended.
    pub calls: u64,
    /// From beginning to end, all calls together.
    #[serde(rename = "total_time_s", with = "super::bytes::seconds")]
    pub total_time: Duration,
    /// What the figures below count: heap blocks in use, or without a
    /// [`PoolAllocator`](super::PoolAllocator) the resident set.
    pub counted: Counted,
    /// At the beginning of the first call.
    #[serde(rename = "memory_in_bytes", with = "super::bytes::optional")]
    pub memory_in: Option<Bytes>,
    /// At the end of the last call.
    #[serde(rename = "memory_out_bytes", with = "super::bytes::optional")]
    pub memory_out: Option<Bytes>,
    /// At most, in any call.
    #[serde(rename = "memory_peak_bytes", with = "super::bytes::optional")]
    pub memory_peak: Option<Bytes>,
    /// How far a call rose above its beginning at most.
    #[serde(rename = "greatest_rise_bytes", with = "super::bytes::optional")]
    pub greatest_rise: Option<Bytes>,
}

impl Phase {
    fn new(stats: &SpanStats) -> Self {
        Self {
            name: stats.name.to_owned(),
            calls: stats.calls,
            total_time: stats.total_time,
            counted: stats.counted,
            memory_in: of_monitor(stats.first_entry_bytes),
            memory_out: of_monitor(stats.last_exit_bytes),
            memory_peak: of_monitor(stats.peak_bytes),
            greatest_rise: of_monitor(stats.greatest_rise_bytes),
        }
    }
}

/// The phases that spans tell of: the engine's in their order, then others, the longest first.
pub(super) fn phases(spans: &[SpanStats]) -> Vec<Phase> {
    let mut phases: Vec<Phase> = spans.iter().map(Phase::new).collect();
    phases.sort_by_key(|phase| {
        let place = ORDER.iter().position(|name| *name == phase.name);
        (
            place.unwrap_or(ORDER.len()),
            std::cmp::Reverse(phase.total_time),
        )
    });
    phases
}

/// Writes phases as a table, or why there are none.
pub(super) fn write(f: &mut fmt::Formatter<'_>, phases: &[Phase]) -> fmt::Result {
    let [what_in, what_out, what_peak] = match phases.first() {
        None => {
            return f.write_str(
                "no phases were recorded: nothing ended, or the program's tracing subscriber has no \
                 `memory::span_layer()`",
            );
        }
        Some(phase) if phase.counted == Counted::Heap => ["heap in", "heap out", "heap peak"],
        Some(_) => ["RSS in", "RSS out", "RSS peak"],
    };
    let rows: Vec<_> = phases
        .iter()
        .map(|phase| {
            [
                phase.name.clone(),
                phase.calls.to_string(),
                format!("{:.3} s", phase.total_time.as_secs_f64()),
                shown(phase.memory_in),
                shown(phase.memory_out),
                shown(phase.memory_peak),
                shown(phase.greatest_rise),
            ]
        })
        .collect();
    let head = [
        "phase", "calls", "time", what_in, what_out, what_peak, "rise",
    ];
    table::write(f, head, &rows)
}

#[cfg(test)]
mod tests {
    use mem_monitor::MemoryMonitor;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry::Registry;

    use super::*;

    struct Shown(Vec<Phase>);

    impl fmt::Display for Shown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write(f, &self.0)
        }
    }

    #[test]
    fn phases_come_in_the_engines_order_and_others_after_them() {
        let monitor = MemoryMonitor::default();
        let subscriber = Registry::default().with(monitor.span_layer());
        tracing::subscriber::with_default(subscriber, || {
            for span in [
                tracing::info_span!("decode"),
                tracing::info_span!("of the program"),
                tracing::info_span!("load"),
                tracing::info_span!("decode"),
            ] {
                span.in_scope(|| ());
            }
        });
        let phases = phases(&monitor.span_stats());
        let names: Vec<_> = phases.iter().map(|phase| phase.name.as_str()).collect();
        assert_eq!(names, ["load", "decode", "of the program"]);
        assert_eq!(phases[1].calls, 2);

        let json = serde_json::to_string(&phases).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Phase>>(&json).unwrap().len(), 3);
        let table = Shown(phases).to_string();
        assert!(
            table.starts_with("phase") && table.lines().count() == 4,
            "{table}"
        );
        let none = Shown(Vec::new()).to_string();
        assert!(none.contains("memory::span_layer()"), "{none}");
    }
}
