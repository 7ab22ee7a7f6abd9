//! What a monitor tells its subscribers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;

use crate::{Alert, Limit, Reading, SpanCall, alert::as_unix_seconds, reading::as_seconds};

/// What was known at one moment, and what follows from it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Sample {
    /// Counts samples from 0; a gap at a subscriber is a sample that found no room.
    pub sequence: u64,
    /// When it was taken. The time of day is that of the monitor's making plus what has passed
    /// since, so that it never jumps.
    #[serde(rename = "time_unix_s", serialize_with = "as_unix_seconds")]
    pub time: SystemTime,
    /// The same since the monitor was made.
    #[serde(rename = "elapsed_s", serialize_with = "as_seconds")]
    pub elapsed: Duration,
    /// What this process uses.
    pub usage_bytes: Option<u64>,
    /// The most that it used since the monitor was made or reset.
    pub peak_bytes: Option<u64>,
    /// The same, of the resident set alone.
    pub rss_peak_bytes: Option<u64>,
    /// The effective limit.
    pub limit: Option<Limit>,
    /// How fast usage grows by at least, in bytes a second; negative where it shrinks.
    pub growth_bytes_per_second: Option<f64>,
    /// When the limit is reached at the present growth; `None` without growth or limit.
    #[serde(rename = "time_to_limit_s", serialize_with = "as_optional_seconds")]
    pub time_to_limit: Option<Duration>,
    /// What the sources said.
    pub reading: Reading,
}

fn as_optional_seconds<S: serde::Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

/// Something that happened at a monitor.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A sample was taken.
    Sample(#[serde(serialize_with = "crate::shared::through")] Arc<Sample>),
    /// An alert fired.
    Alert(#[serde(serialize_with = "crate::shared::through")] Arc<Alert>),
    /// A span was closed.
    Span(#[serde(serialize_with = "crate::shared::through")] Arc<SpanCall>),
}

/// The receiving end of [`MemoryMonitor::subscribe`](crate::MemoryMonitor::subscribe). Dropping it
/// ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    events: Receiver<Event>,
    dropped: Arc<AtomicU64>,
}

impl Subscription {
    /// The channel; it ends when the monitor is dropped.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// How many events found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) sender: Sender<Event>,
    pub(crate) dropped: Arc<AtomicU64>,
}

pub(crate) fn channel(capacity: usize) -> (Subscriber, Subscription) {
    let (sender, events) = bounded(capacity.max(1));
    let dropped = Arc::default();
    let subscriber = Subscriber {
        sender,
        dropped: Arc::clone(&dropped),
    };
    (subscriber, Subscription { events, dropped })
}
