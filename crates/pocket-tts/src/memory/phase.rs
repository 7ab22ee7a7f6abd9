//! Phases of speech.

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use mem_monitor::{Quantity, SpanStats};
use serde::{Deserialize, Serialize};

use super::format::{amount, write_table};

/// The engine's phases, in the order in which they occur.
const ORDER: [&str; 6] = [
    "load",
    "encode_voice",
    "prompt",
    "generate",
    "frame",
    "decode",
];

/// A phase: all `tracing` spans with one name.
///
/// The engine's phases are `load`, `encode_voice`, `prompt`, `generate` (all prompts and frames of a
/// stream), `frame` (one latent of each sequence) and `decode` (audio of some frames). A program's own
/// spans are phases too. The figures are those of the whole process, so phases that overlap include
/// each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Phase {
    /// Name of the spans.
    pub name: String,
    /// Number of spans that ended.
    pub calls: u64,
    /// Total time of all calls.
    #[serde(rename = "total_time_s", with = "super::format::seconds")]
    pub total_time: Duration,
    /// What the figures below count: live heap allocations, or RSS without a
    /// [`PoolAllocator`](super::PoolAllocator).
    pub counted: Quantity,
    /// Memory at the start of the first call.
    pub memory_in_bytes: Option<u64>,
    /// Memory at the end of the last call.
    pub memory_out_bytes: Option<u64>,
    /// Peak of all calls.
    pub memory_peak_bytes: Option<u64>,
    /// Largest difference between a call's peak and its start.
    pub greatest_rise_bytes: Option<u64>,
}

impl Phase {
    fn new(stats: &SpanStats) -> Self {
        Self {
            name: stats.name.to_owned(),
            calls: stats.calls,
            total_time: stats.total_time,
            counted: stats.quantity,
            memory_in_bytes: stats.first_entry_bytes,
            memory_out_bytes: stats.last_exit_bytes,
            memory_peak_bytes: stats.peak_bytes,
            greatest_rise_bytes: stats.greatest_rise_bytes,
        }
    }
}

/// Converts span statistics to phases: the engine's in their order, then others by descending time.
pub(super) fn phases(spans: &[SpanStats]) -> Vec<Phase> {
    let mut phases: Vec<Phase> = spans.iter().map(Phase::new).collect();
    phases.sort_by_key(|phase| {
        let index = ORDER.iter().position(|name| *name == phase.name);
        (index.unwrap_or(ORDER.len()), Reverse(phase.total_time))
    });
    phases
}

/// Writes phases as a table, or the reason why there are none.
pub(super) fn write(f: &mut fmt::Formatter<'_>, phases: &[Phase]) -> fmt::Result {
    let [memory_in, memory_out, memory_peak] = match phases.first() {
        None => {
            return f.write_str(
                "no phases: no span ended, or the program's tracing subscriber has no \
                 `memory::span_layer()`",
            );
        }
        Some(phase) if phase.counted == Quantity::Heap => ["heap in", "heap out", "heap peak"],
        Some(_) => ["RSS in", "RSS out", "RSS peak"],
    };
    let rows = phases.iter().map(|phase| {
        [
            phase.name.clone(),
            phase.calls.to_string(),
            format!("{:.3} s", phase.total_time.as_secs_f64()),
            amount(phase.memory_in_bytes),
            amount(phase.memory_out_bytes),
            amount(phase.memory_peak_bytes),
            amount(phase.greatest_rise_bytes),
        ]
    });
    let head = [
        "phase",
        "calls",
        "time",
        memory_in,
        memory_out,
        memory_peak,
        "rise",
    ];
    write_table(f, head, rows.collect())
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
    fn engine_phases_come_first_in_their_order() {
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
