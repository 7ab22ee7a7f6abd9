//! The sources of a monitor, each read at its own interval.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{Reading, Source};

/// The sources of a monitor.
pub(super) struct Sources {
    /// Sources that are read for every sample.
    fast: Vec<Arc<dyn Source>>,
    slow: Vec<Slow>,
    /// Last values of all slow sources, so that a sample with no slow source due copies one reading.
    last: Reading,
    /// When the next slow source is due; `None` for now.
    due: Option<Instant>,
}

/// A source with a minimum interval.
struct Slow {
    source: Arc<dyn Source>,
    interval: Duration,
    last: Reading,
    /// When it is due; `None` for now.
    due: Option<Instant>,
}

impl Sources {
    pub(super) fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        let interval = |source: &Arc<dyn Source>| source.min_interval();
        let (fast, slow): (Vec<_>, Vec<_>) = sources
            .into_iter()
            .partition(|source| interval(source).is_zero());
        let slow = slow.into_iter().map(|source| Slow {
            interval: interval(&source),
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
