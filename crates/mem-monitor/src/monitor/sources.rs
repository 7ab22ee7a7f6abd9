//! All sources of a monitor, each asked as often as it may be.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{Reading, Source};

/// The sources of a monitor.
pub(super) struct Sources {
    /// Those that are asked each time.
    quick: Vec<Arc<dyn Source>>,
    slow: Vec<Slow>,
    /// What all slow ones said last, so that a tick at which none is due copies one reading.
    said: Reading,
    /// When the next slow one is due; `None` for at once.
    due: Option<Instant>,
}

/// A source that may not be asked each time.
struct Slow {
    source: Arc<dyn Source>,
    interval: Duration,
    said: Reading,
    /// When it may be asked again; `None` for at once.
    due: Option<Instant>,
}

impl Sources {
    pub(super) fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        let interval = |source: &Arc<dyn Source>| source.min_interval();
        let (quick, slow): (Vec<_>, Vec<_>) = sources
            .into_iter()
            .partition(|source| interval(source).is_zero());
        let slow = slow.into_iter().map(|source| Slow {
            interval: interval(&source),
            source,
            said: Reading::default(),
            due: None,
        });
        Self {
            quick,
            slow: slow.collect(),
            said: Reading::default(),
            due: None,
        }
    }

    /// What is known now.
    pub(super) fn read(&mut self) -> Reading {
        let now = Instant::now();
        if self.due.is_none_or(|due| due <= now) {
            self.ask_slow(now);
        }
        let mut reading = self.said.clone();
        for source in &self.quick {
            source.read(&mut reading);
        }
        reading
    }

    /// Asks every slow source that is due.
    fn ask_slow(&mut self, now: Instant) {
        let mut said = Reading::default();
        for slow in &mut self.slow {
            if slow.due.is_none_or(|due| due <= now) {
                slow.said = Reading::default();
                slow.source.read(&mut slow.said);
                slow.due = Some(later(now, slow.interval));
            }
            said.merge(&slow.said);
        }
        self.said = said;
        let next = self.slow.iter().filter_map(|slow| slow.due).min();
        self.due = next.or(Some(later(now, Duration::MAX)));
    }

    /// What was said is from before, every source is due.
    pub(super) fn forget(&mut self) {
        self.due = None;
        for slow in &mut self.slow {
            slow.due = None;
        }
    }
}

/// So much later, or a day where that is beyond what a clock can tell.
fn later(now: Instant, interval: Duration) -> Instant {
    const DAY: Duration = Duration::from_secs(86_400);
    now.checked_add(interval).unwrap_or_else(|| now + DAY)
}
