//! The monitor itself.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    Alert, AlertRule, Breakdown, Error, Event, History, Limit, Part, Reading, Sample, SpanCall,
    SpanLayer, SpanStats, SpanWindow, Subscription,
    alert::Armed,
    lock,
    source::{HeapCounter, ProcessSource, StatusSource},
    span::Spans,
};

mod builder;
mod peak;
mod sampler;
mod sampling;
mod sources;

pub use builder::MemoryMonitorBuilder;

use sampler::Sampler;
use sampling::State;
use sources::Sources;

/// How often a monitor looks if nobody says otherwise.
const DEFAULT_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Watches the memory of this process.
///
/// A thread of its own takes a [`Sample`] at every check interval. Samples go into a bounded
/// [`History`], past the alert rules and to subscribers. A monitor that was not started costs
/// nothing and still answers: what is used, what the peak was, what a sample taken now says.
///
/// ```
/// use std::time::Duration;
/// use bytesize::ByteSize;
/// use mem_monitor::MemoryMonitor;
///
/// # fn main() -> Result<(), mem_monitor::Error> {
/// let monitor = MemoryMonitor::new(Duration::from_millis(10))?;
/// monitor.start_monitoring()?;
/// let work: Vec<u8> = vec![1; 8 << 20];
/// monitor.stop_monitoring();
/// if let (Some(now), Some(peak)) = (
///     monitor.get_current_memory_usage(),
///     monitor.get_peak_memory_usage(),
/// ) {
///     println!("{} now, {} at most", ByteSize::b(now), ByteSize::b(peak));
/// }
/// for alert in monitor.get_memory_alerts() {
///     eprintln!("{alert}");
/// }
/// # drop(work);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryMonitor {
    check_interval: Mutex<Duration>,
    shared: Arc<Shared>,
    sampler: Mutex<Option<Sampler>>,
}

/// What the monitor, its thread and its span layer have in common.
pub(crate) struct Shared {
    /// The moment zero of all times, on a clock that never jumps, and the time of day then.
    epoch: (Instant, SystemTime),
    root: PathBuf,
    process: Arc<ProcessSource>,
    status: Arc<StatusSource>,
    heap: Option<Arc<HeapCounter>>,
    /// Held while a sample is taken, so that samples are ordered and none straddles a reset.
    sources: Mutex<Sources>,
    state: Mutex<State>,
    subscribers: Mutex<Vec<crate::event::Subscriber>>,
    parts: Mutex<Vec<Part>>,
    parts_at_peak: Mutex<Option<AtPeak>>,
    pub(crate) spans: Spans,
}

/// Where the bytes were when there were most of them.
struct AtPeak {
    /// Live on the heap, or resident where that is unknown.
    bytes: u64,
    parts: Breakdown,
}

impl MemoryMonitor {
    /// A monitor that looks every `check_interval` once it is started. The default is 5 s.
    ///
    /// # Errors
    /// [`Error::IntervalTooShort`] for less than 1 ms.
    pub fn new(check_interval: Duration) -> Result<Self, Error> {
        Self::builder().check_interval(check_interval).build()
    }

    /// A monitor with plugged-in sources, a limit, alert rules of its own.
    pub fn builder() -> MemoryMonitorBuilder {
        MemoryMonitorBuilder::default()
    }

    /// The time between two samples.
    pub fn check_interval(&self) -> Duration {
        *lock(&self.check_interval)
    }

    /// Looks every `check_interval` from now on; a running thread is ended and another started.
    ///
    /// # Errors
    /// [`Error::IntervalTooShort`] for less than 1 ms, [`Error::Thread`] if the system gives no
    /// thread.
    pub fn set_check_interval(&self, check_interval: Duration) -> Result<(), Error> {
        builder::check(check_interval)?;
        *lock(&self.check_interval) = check_interval;
        if self.is_monitoring() {
            self.stop_monitoring();
            self.start_monitoring()?;
        }
        Ok(())
    }

    /// Replaces the configured limit; the next sample uses the new one.
    ///
    /// # Errors
    /// [`Error::ZeroLimit`].
    pub fn set_limit_bytes(&self, limit_bytes: u64) -> Result<(), Error> {
        if limit_bytes == 0 {
            return Err(Error::ZeroLimit);
        }
        lock(&self.shared.state).configured_limit = Some(limit_bytes);
        Ok(())
    }

    /// Removes the configured limit.
    pub fn clear_limit(&self) {
        lock(&self.shared.state).configured_limit = None;
    }

    /// Starts the sampling thread; the first sample is taken at once. Does nothing while it runs.
    ///
    /// # Errors
    /// [`Error::Thread`] if the system gives no thread.
    pub fn start_monitoring(&self) -> Result<(), Error> {
        let mut sampler = lock(&self.sampler);
        // A thread that ended by itself was killed by a panicking source: it can be started anew.
        if sampler.as_ref().is_none_or(Sampler::is_finished) {
            *sampler = Some(Sampler::start(
                Arc::clone(&self.shared),
                self.check_interval(),
            )?);
        }
        Ok(())
    }

    /// Ends the sampling thread and waits for it: as long as the sample takes that it may be at,
    /// which is less than 50 ms as long as plugged-in sources are quick. Does nothing if it does not
    /// run. What was recorded stays.
    pub fn stop_monitoring(&self) {
        let running = lock(&self.sampler).take();
        drop(running);
    }

    /// Whether the sampling thread runs.
    pub fn is_monitoring(&self) -> bool {
        lock(&self.sampler)
            .as_ref()
            .is_some_and(|sampler| !sampler.is_finished())
    }

    /// What this process uses now: its resident set, or its live heap where that is unknown. Read
    /// afresh, with no lock taken, in a few microseconds.
    pub fn get_current_memory_usage(&self) -> Option<u64> {
        self.shared
            .usage_now()
            .or_else(|| self.sample().reading.usage_bytes())
    }

    /// The most that this process used since the monitor was made or [reset](Self::reset): the
    /// greatest of all samples, the kernel's high-water mark and the heap counter's own peak, the
    /// last two as far as they rose in that time. So a spike between two samples is in it.
    ///
    /// One thing cannot be seen: a spike between two samples that stays below a higher peak from
    /// *before* the monitor was made. [`reset`](Self::reset) sets the kernel's mark back and thereby
    /// cures that.
    pub fn get_peak_memory_usage(&self) -> Option<u64> {
        self.shared.peak_now()
    }

    /// The alerts that fired since the monitor was made or reset, oldest first; the newest 256.
    pub fn get_memory_alerts(&self) -> Vec<Alert> {
        lock(&self.shared.state).alerts.iter().cloned().collect()
    }

    /// The alerts that are still true by the newest sample: those that fired and whose value has not
    /// gone back yet.
    pub fn open_alerts(&self) -> Vec<Alert> {
        let state = lock(&self.shared.state);
        state
            .rules
            .iter()
            .filter_map(Armed::open)
            .cloned()
            .collect()
    }

    /// Forgets what was recorded (history, peaks, alerts, spans) and arms every alert rule. Whether
    /// the thread runs does not change; subscribers and registered parts stay.
    ///
    /// Peaks start again at what is used now. The heap counter's peak is set back if it was given a
    /// way to; the kernel's high-water mark is set back by writing to `/proc/self/clear_refs`, which
    /// everything else in this process that reads `VmHWM` will notice. Where either is not possible,
    /// the mark's present value becomes the line above which it counts.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Takes a sample now, as the thread would: it enters the history and reaches subscribers.
    pub fn sample(&self) -> Arc<Sample> {
        self.shared.sample()
    }

    /// The newest sample, if there was one.
    pub fn latest(&self) -> Option<Arc<Sample>> {
        lock(&self.shared.state).latest.clone()
    }

    /// The effective limit, by the newest sample or one taken now.
    pub fn effective_limit(&self) -> Option<Limit> {
        let sample = self.latest().unwrap_or_else(|| self.sample());
        sample.limit.clone()
    }

    /// A copy of the history.
    pub fn history(&self) -> History {
        lock(&self.shared.state).history.clone()
    }

    /// From now on every sample, alert and finished span arrives at the subscription, as long as it
    /// has room for `capacity` of them (at least 1): the sampler never waits, what finds no room is
    /// dropped and counted.
    ///
    /// ```
    /// use mem_monitor::{Event, MemoryMonitor};
    ///
    /// let monitor = MemoryMonitor::default();
    /// let subscription = monitor.subscribe(16);
    /// monitor.sample();
    /// let event = subscription.events().recv().expect("the monitor is still there");
    /// assert!(matches!(event, Event::Sample(sample) if sample.sequence == 0));
    /// ```
    pub fn subscribe(&self, capacity: usize) -> Subscription {
        let (subscriber, subscription) = crate::event::channel(capacity);
        lock(&self.shared.subscribers).push(subscriber);
        subscription
    }

    /// A `tracing` layer that profiles spans with this monitor's sources and samples.
    pub fn span_layer(&self) -> SpanLayer {
        SpanLayer::new(Arc::clone(&self.shared))
    }

    /// What is known of every span name, most memory first.
    pub fn span_stats(&self) -> Vec<SpanStats> {
        self.shared.spans.stats()
    }

    /// What is known of the spans that finish from now on, whatever was before.
    ///
    /// ```
    /// use mem_monitor::MemoryMonitor;
    /// use tracing_subscriber::{layer::SubscriberExt, registry::Registry};
    ///
    /// let monitor = MemoryMonitor::default();
    /// let subscriber = Registry::default().with(monitor.span_layer());
    /// tracing::subscriber::with_default(subscriber, || {
    ///     tracing::info_span!("load").in_scope(|| ());
    ///     let window = monitor.span_window();
    ///     tracing::info_span!("load").in_scope(|| ());
    ///     assert_eq!(window.stats()[0].calls, 1);
    /// });
    /// assert_eq!(monitor.span_stats()[0].calls, 2);
    /// ```
    pub fn span_window(&self) -> SpanWindow {
        self.shared.spans.window()
    }

    /// Finished spans, in the order of their start. Of many, the longest are kept.
    pub fn span_calls(&self) -> Vec<Arc<SpanCall>> {
        self.shared.spans.calls()
    }

    /// Registers a part of the process whose size the program knows; see [`breakdown`](Self::breakdown).
    /// Its closure is called at samples too, so it must not ask this monitor.
    pub fn register_part(&self, part: Part) {
        lock(&self.shared.parts).push(part);
    }

    /// Where the resident set's bytes are: registered parts, allocator slack, the unexplained rest.
    /// Takes a sample.
    ///
    /// ```
    /// use mem_monitor::{Backing, MemoryMonitor, Part};
    ///
    /// let monitor = MemoryMonitor::default();
    /// let table: Vec<u8> = vec![1; 1 << 20];
    /// let bytes = table.capacity() as u64;
    /// monitor.register_part(Part::new("lookup table", Backing::Heap, move || Some(bytes)));
    /// println!("{}", monitor.breakdown());
    /// ```
    pub fn breakdown(&self) -> Breakdown {
        self.part_sizes(&self.sample().reading)
    }

    /// Where the bytes were at the sample with the most live heap (the largest resident set without a
    /// heap counter) since the monitor was made or [reset](Self::reset). `None` before the first sample
    /// with registered parts.
    ///
    /// ```
    /// use mem_monitor::{Backing, MemoryMonitor, Part};
    ///
    /// let monitor = MemoryMonitor::default();
    /// monitor.register_part(Part::new("lookup table", Backing::Heap, || Some(1 << 20)));
    /// monitor.sample();
    /// let table = monitor.peak_breakdown();
    /// assert!(table.is_none_or(|table| table.rows[0].name == "lookup table"));
    /// ```
    pub fn peak_breakdown(&self) -> Option<Breakdown> {
        let at_peak = lock(&self.shared.parts_at_peak);
        at_peak.as_ref().map(|at_peak| at_peak.parts.clone())
    }

    pub(crate) fn part_sizes(&self, reading: &Reading) -> Breakdown {
        Breakdown::new(reading, &lock(&self.shared.parts))
    }

    /// How often each rule fired since the monitor was made or reset.
    pub(crate) fn alert_counts(&self) -> Vec<(AlertRule, u64)> {
        lock(&self.shared.state)
            .rules
            .iter()
            .map(Armed::count)
            .collect()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Default for MemoryMonitor {
    /// A monitor that looks every 5 s.
    fn default() -> Self {
        Self::builder()
            .build()
            .expect("the default configuration is valid")
    }
}

impl Drop for MemoryMonitor {
    fn drop(&mut self) {
        self.stop_monitoring();
        // The span layer may live on; subscribers must see the end all the same.
        lock(&self.shared.subscribers).clear();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Time since the monitor was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.epoch.0.elapsed()
    }

    /// The time of day at a time since the monitor was made.
    pub(crate) fn time_of_day(&self, elapsed: Duration) -> SystemTime {
        self.epoch.1 + elapsed
    }

    pub(crate) fn rss_now(&self) -> Option<u64> {
        self.process.rss()
    }

    pub(crate) fn heap(&self) -> Option<&HeapCounter> {
        self.heap.as_deref()
    }

    pub(crate) fn usage_now(&self) -> Option<u64> {
        self.rss_now()
            .or_else(|| self.heap.as_ref().and_then(|heap| heap.live()))
    }

    pub(crate) fn high_water_now(&self) -> Option<u64> {
        self.status.high_water()
    }

    /// Hands an event to every subscriber that has room.
    pub(crate) fn publish(&self, event: &Event) {
        lock(&self.subscribers).retain(|subscriber| {
            match subscriber.sender.try_send(event.clone()) {
                Ok(()) => true,
                Err(crossbeam_channel::TrySendError::Full(_)) => {
                    subscriber.dropped.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(crossbeam_channel::TrySendError::Disconnected(_)) => false,
            }
        });
    }
}
