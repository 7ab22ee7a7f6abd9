//! Events, subscriptions and callbacks.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use serde::Serialize;

use crate::{
    Alert, Limit, Reading,
    guard::Guard,
    serialize::{as_optional_seconds, as_seconds, as_unix_seconds},
};

/// The figures of one moment and what is derived from them.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Sample {
    /// The sample's number, from 0. A gap at a subscriber means that samples were dropped.
    pub sequence: u64,
    /// Wall-clock time: the monitor's creation time plus the elapsed monotonic time, so it never
    /// jumps.
    #[serde(rename = "time_unix_seconds", serialize_with = "as_unix_seconds")]
    pub time: SystemTime,
    /// Time since the monitor was created.
    #[serde(rename = "elapsed_seconds", serialize_with = "as_seconds")]
    pub elapsed: Duration,
    /// Usage of this process; see [`Reading::usage_bytes`].
    pub usage_bytes: Option<u64>,
    /// Peak usage since the monitor was created or reset: of the resident set, or of the live heap if that
    /// was higher. The heap includes memory that is reserved but never touched.
    pub peak_bytes: Option<u64>,
    /// Peak of the resident set alone: of the touched bytes.
    pub rss_peak_bytes: Option<u64>,
    /// The effective limit: the limit with the least headroom.
    pub limit: Option<Limit>,
    /// All known limits: the configured one, the smallest of the control groups, the machine's.
    #[serde(skip)]
    pub limits: Vec<Limit>,
    /// Lower bound of the growth of usage, in bytes per second; negative if it shrinks.
    pub growth_bytes_per_second: Option<f64>,
    /// Time until the first of the limits is reached at the current growth; `None` without growth or
    /// limit.
    #[serde(
        rename = "time_to_limit_seconds",
        serialize_with = "as_optional_seconds"
    )]
    pub time_to_limit: Option<Duration>,
    /// The figures of all sources.
    pub reading: Reading,
}

/// An event of a monitor.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A sample was taken.
    Sample(#[serde(serialize_with = "crate::serialize::through")] Arc<Sample>),
    /// An alert fired.
    Alert(#[serde(serialize_with = "crate::serialize::through")] Arc<Alert>),
    /// A span was closed.
    #[cfg(feature = "tracing")]
    Span(#[serde(serialize_with = "crate::serialize::through")] Arc<crate::SpanCall>),
}

/// The receiving end of [`MemoryMonitor::subscribe`](crate::MemoryMonitor::subscribe). Dropping it
/// ends the subscription.
///
/// If the channel is full, a new event replaces the oldest one, so a slow receiver sees the newest state.
#[derive(Debug)]
pub struct Subscription {
    events: Receiver<Event>,
    /// The sender holds a weak reference to it, and the subscription exists as long as this one.
    dropped: Arc<AtomicU64>,
}

impl Subscription {
    /// Returns the channel, which disconnects when the monitor is dropped.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// Returns the number of events that newer ones have replaced because the channel was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct Subscriber {
    sender: Sender<Event>,
    /// The receiving end, to remove the oldest event.
    oldest: Receiver<Event>,
    dropped: Weak<AtomicU64>,
}

impl Subscriber {
    /// Sends an event without blocking; removes the oldest one if the channel is full. Returns whether the
    /// subscription still exists. Callers must not send concurrently.
    pub(crate) fn send(&self, mut event: Event) -> bool {
        let Some(dropped) = self.dropped.upgrade() else {
            return false;
        };
        // With one sender, a place that was made can only be lost to a receiver, which makes another.
        loop {
            match self.sender.try_send(event) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(unsent)) => {
                    event = unsent;
                    if self.oldest.try_recv().is_ok() {
                        dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

/// A closure that is called with every alert.
pub(crate) struct Callback {
    closure: Box<dyn Fn(&Alert) + Send + Sync>,
    guard: Guard,
}

impl Callback {
    pub(crate) fn new(closure: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        Self {
            closure: Box::new(closure),
            guard: Guard::default(),
        }
    }

    pub(crate) fn call(&self, alert: &Alert) {
        let name = || "an alert callback".to_owned();
        self.guard.call(name, || (self.closure)(alert));
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }
}

pub(crate) fn channel(capacity: usize) -> (Subscriber, Subscription) {
    let (sender, events) = bounded(capacity.max(1));
    let dropped = Arc::default();
    let subscriber = Subscriber {
        sender,
        oldest: events.clone(),
        dropped: Arc::downgrade(&dropped),
    };
    (subscriber, Subscription { events, dropped })
}
