//! The sources of a monitor, each read at its own interval.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{Failure, Reading, Source, guard::Guard};

/// The sources of a monitor.
pub(super) struct Sources {
    /// Sources that are read for every sample.
    fast: Vec<Guarded>,
    slow: Vec<Slow>,
    /// Last values of all slow sources, so that a sample with no slow source due copies one reading.
    last: Reading,
    /// When the next slow source is due; `None` for now.
    due: Option<Instant>,
}

/// A source with a minimum interval.
struct Slow {
    source: Guarded,
    interval: Duration,
    last: Reading,
    /// When it is due; `None` for now.
    due: Option<Instant>,
}

/// A source that is not called again after a panic.
struct Guarded {
    source: Arc<dyn Source>,
    guard: Guard,
}

impl Guarded {
    fn read(&self, reading: &mut Reading) {
        let name = || format!("source `{}`", self.source.name());
        self.guard.call(name, || self.source.read(reading));
    }
}

impl Sources {
    pub(super) fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        let guarded = |source| Guarded {
            source,
            guard: Guard::default(),
        };
        let (fast, slow): (Vec<_>, Vec<_>) = sources
            .into_iter()
            .map(guarded)
            .partition(|guarded| guarded.source.min_interval().is_zero());
        let slow = slow.into_iter().map(|source| Slow {
            interval: source.source.min_interval(),
            source,
            last: Reading::default(),
            due: None,
        });
        Self {
            fast,
            slow: slow.collect(),
            last: Reading::default(),
            due: None,
        }
    }

    /// Reads all sources that are due.
    pub(super) fn read(&mut self) -> Reading {
        let now = Instant::now();
        if self.due.is_none_or(|due| due <= now) {
            self.read_slow(now);
        }
        let mut reading = self.last.clone();
        for source in &self.fast {
            source.read(&mut reading);
        }
        reading
    }

    /// Reads every slow source that is due.
    fn read_slow(&mut self, now: Instant) {
        let mut last = Reading::default();
        for slow in &mut self.slow {
            if slow.due.is_none_or(|due| due <= now) {
                slow.last = Reading::default();
                slow.source.read(&mut slow.last);
                slow.due = Some(later(now, slow.interval));
            }
            last.merge(&slow.last);
        }
        self.last = last;
        let next = self.slow.iter().filter_map(|slow| slow.due).min();
        self.due = next.or(Some(later(now, Duration::MAX)));
    }

    /// Returns the sources that panicked.
    pub(super) fn failures(&self) -> impl Iterator<Item = &Failure> {
        let slow = self.slow.iter().map(|slow| &slow.source);
        let all = self.fast.iter().chain(slow);
        all.filter_map(|source| source.guard.failure())
    }

    /// Makes every source due.
    pub(super) fn expire(&mut self) {
        self.due = None;
        for slow in &mut self.slow {
            slow.due = None;
        }
    }
}

/// Returns `now + interval`, or a day later if that overflows.
fn later(now: Instant, interval: Duration) -> Instant {
    const DAY: Duration = Duration::from_secs(86_400);
    now.checked_add(interval).unwrap_or_else(|| now + DAY)
}
