//! The memory monitor.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    Alert, AlertRule, Breakdown, Category, Error, Event, History, Limit, Quantity, Reading, Sample,
    SpanCall, SpanStats, SpanWindow, Subscription,
    alert::Armed,
    lock,
    source::{HeapCounter, ProcessSource, StatusSource},
    span::Spans,
};

mod builder;
mod limits;
mod peak;
mod sampler;
mod sampling;
mod sources;
mod span_layer;

pub use builder::MemoryMonitorBuilder;
pub use span_layer::SpanLayer;

use sampler::Sampler;
use sampling::State;
use sources::Sources;

/// The default check interval.
const DEFAULT_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Monitors the memory of this process.
///
/// A dedicated thread takes a [`Sample`] at every check interval. Samples are added to a bounded
/// [`History`], checked against the alert rules and sent to subscribers. Without the thread the monitor
/// costs nothing, and current usage, peak and samples are still available on request.
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
///     println!("{} now, peak {}", ByteSize::b(now), ByteSize::b(peak));
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

/// State shared by the monitor, its thread and its span layers.
pub(crate) struct Shared {
    /// The creation time, on the monotonic and on the wall clock.
    epoch: (Instant, SystemTime),
    root: PathBuf,
    process: Arc<ProcessSource>,
    status: Arc<StatusSource>,
    heap: Option<Arc<HeapCounter>>,
    /// Locked while a sample is taken, so that samples are ordered and never overlap a reset.
    sources: Mutex<Sources>,
    state: Mutex<State>,
    subscribers: Mutex<Vec<crate::event::Subscriber>>,
    categories: Mutex<Vec<Category>>,
    at_peak: Mutex<Option<AtPeak>>,
    pub(crate) spans: Spans,
}

/// The breakdown at the peak.
struct AtPeak {
    /// Live heap, or the resident set if that is unknown.
    bytes: u64,
    breakdown: Breakdown,
}

impl MemoryMonitor {
    /// Creates a monitor that samples every `check_interval` once it is started.
    ///
    /// # Errors
    /// [`Error::IntervalTooShort`] for less than 1 ms.
    pub fn new(check_interval: Duration) -> Result<Self, Error> {
        Self::builder().check_interval(check_interval).build()
    }

    /// Returns a builder for a monitor with further sources, a limit or other alert rules.
    pub fn builder() -> MemoryMonitorBuilder {
        MemoryMonitorBuilder::default()
    }

    /// Returns the time between two samples.
    pub fn check_interval(&self) -> Duration {
        *lock(&self.check_interval)
    }

    /// Changes the check interval. A running thread is restarted.
    ///
    /// # Errors
    /// [`Error::IntervalTooShort`] for less than 1 ms, [`Error::Thread`] if the thread cannot be
    /// started.
    pub fn set_check_interval(&self, check_interval: Duration) -> Result<(), Error> {
        builder::check(check_interval)?;
        *lock(&self.check_interval) = check_interval;
        if self.is_monitoring() {
            self.stop_monitoring();
            self.start_monitoring()?;
        }
        Ok(())
    }

    /// Replaces the configured limit by one of `quantity`; the next sample uses it.
    ///
    /// # Errors
    /// [`Error::ZeroLimit`].
    pub fn set_limit_bytes(&self, quantity: Quantity, limit_bytes: u64) -> Result<(), Error> {
        if limit_bytes == 0 {
            return Err(Error::ZeroLimit);
        }
        lock(&self.shared.state).limits.configured = Some((quantity, limit_bytes));
        Ok(())
    }

    /// Removes the configured limit.
    pub fn clear_limit(&self) {
        lock(&self.shared.state).limits.configured = None;
    }

    /// Starts the sampling thread, which takes the first sample at once. Does nothing if it is
    /// running.
    ///
    /// # Errors
    /// [`Error::Thread`] if the thread cannot be started.
    pub fn start_monitoring(&self) -> Result<(), Error> {
        let mut sampler = lock(&self.sampler);
        // A thread that ended by itself had a panicking source and can be restarted.
        if sampler.as_ref().is_none_or(Sampler::is_finished) {
            *sampler = Some(Sampler::start(
                Arc::clone(&self.shared),
                self.check_interval(),
            )?);
        }
        Ok(())
    }

    /// Stops the sampling thread and waits for it, at most for the duration of one sample (less than
    /// 50 ms with fast sources). Does nothing if it is not running. Recorded data is kept.
    pub fn stop_monitoring(&self) {
        let running = lock(&self.sampler).take();
        drop(running);
    }

    /// Whether the sampling thread is running.
    pub fn is_monitoring(&self) -> bool {
        lock(&self.sampler)
            .as_ref()
            .is_some_and(|sampler| !sampler.is_finished())
    }

    /// Returns the current usage in bytes: the resident set, or the live heap if that is unknown.
    /// Always a new measurement, without locks, in a few microseconds.
    pub fn get_current_memory_usage(&self) -> Option<u64> {
        self.shared
            .usage_now()
            .or_else(|| self.sample().reading.usage_bytes())
    }

    /// Returns the peak usage in bytes since the monitor was created or [reset](Self::reset).
    ///
    /// The peak is the maximum of all samples, the kernel's high-water mark and the heap counter's
    /// peak. The last two count if they rose in that time, so spikes between two samples are included.
    /// A spike below an earlier peak from *before* the monitor was created is missed;
    /// [`reset`](Self::reset) resets the kernel's mark and avoids that.
    pub fn get_peak_memory_usage(&self) -> Option<u64> {
        self.shared.peak_now()
    }

    /// Returns the alerts since the monitor was created or reset, oldest first; at most the newest
    /// 256.
    pub fn get_memory_alerts(&self) -> Vec<Alert> {
        lock(&self.shared.state).alerts.iter().cloned().collect()
    }

    /// Returns the alerts that fired and whose value has not gone back yet.
    pub fn open_alerts(&self) -> Vec<Alert> {
        let state = lock(&self.shared.state);
        state
            .rules
            .iter()
            .filter_map(Armed::open)
            .cloned()
            .collect()
    }

    /// Clears the recorded data (history, peaks, alerts, spans) and arms every alert rule. The sampling
    /// thread, subscribers and categories are not affected.
    ///
    /// Peaks restart at the current usage. The heap counter's peak is reset if it has a reset closure.
    /// The kernel's high-water mark is reset by writing to `/proc/self/clear_refs`, which affects every
    /// other reader of `VmHWM` in this process. If a reset is not possible, the mark counts only above
    /// its current value.
    pub fn reset(&self) {
        self.shared.reset();
    }

    /// Takes a sample on the calling thread. It is added to the history and sent to subscribers.
    pub fn sample(&self) -> Arc<Sample> {
        self.shared.sample()
    }

    /// Returns the newest sample.
    pub fn latest(&self) -> Option<Arc<Sample>> {
        lock(&self.shared.state).latest.clone()
    }

    /// Returns the effective limit of the newest sample, or of a new one if there is none: the limit with
    /// the least headroom. [`Sample::limits`] has all of them.
    pub fn effective_limit(&self) -> Option<Limit> {
        let sample = self.latest().unwrap_or_else(|| self.sample());
        sample.limit.clone()
    }

    /// Returns a copy of the history.
    pub fn history(&self) -> History {
        lock(&self.shared.state).history.clone()
    }

    /// Subscribes to samples, alerts and finished spans through a channel of `capacity` events (at
    /// least 1). The sampler never blocks: if the channel is full, events are dropped and counted.
    ///
    /// ```
    /// use mem_monitor::{Event, MemoryMonitor};
    ///
    /// let monitor = MemoryMonitor::default();
    /// let subscription = monitor.subscribe(16);
    /// monitor.sample();
    /// let event = subscription.events().recv().expect("the monitor is alive");
    /// assert!(matches!(event, Event::Sample(sample) if sample.sequence == 0));
    /// ```
    pub fn subscribe(&self, capacity: usize) -> Subscription {
        let (subscriber, subscription) = crate::event::channel(capacity);
        lock(&self.shared.subscribers).push(subscriber);
        subscription
    }

    /// Returns a `tracing` layer that measures spans with this monitor.
    pub fn span_layer(&self) -> SpanLayer {
        SpanLayer::new(Arc::clone(&self.shared))
    }

    /// Returns the statistics by span name, largest rise first.
    pub fn span_stats(&self) -> Vec<SpanStats> {
        self.shared.spans.stats()
    }

    /// Returns a window over the spans that finish from now on.
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

    /// Returns finished spans by start time. If there are many, only the longest are stored.
    pub fn span_calls(&self) -> Vec<Arc<SpanCall>> {
        self.shared.spans.calls()
    }

    /// Registers a category of memory; see [`breakdown`](Self::breakdown). Its closure is called during
    /// samples, so it must not call this monitor.
    pub fn register_category(&self, category: Category) {
        lock(&self.shared.categories).push(category);
    }

    /// Returns the breakdown of the resident set: categories, allocator slack and the unexplained
    /// rest. Takes a sample.
    ///
    /// ```
    /// use mem_monitor::{Backing, Category, MemoryMonitor};
    ///
    /// let monitor = MemoryMonitor::default();
    /// let table: Vec<u8> = vec![1; 1 << 20];
    /// let bytes = table.capacity() as u64;
    /// monitor.register_category(Category::new("lookup table", Backing::Heap, move || Some(bytes)));
    /// println!("{}", monitor.breakdown());
    /// ```
    pub fn breakdown(&self) -> Breakdown {
        self.breakdown_of(&self.sample().reading)
    }

    /// Returns the breakdown at the sample with the most live heap (the largest resident set without a
    /// heap counter) since the monitor was created or [reset](Self::reset). `None` before the first
    /// sample with registered categories.
    ///
    /// ```
    /// use mem_monitor::{Backing, Category, MemoryMonitor};
    ///
    /// let monitor = MemoryMonitor::default();
    /// monitor.register_category(Category::new("lookup table", Backing::Heap, || Some(1 << 20)));
    /// monitor.sample();
    /// let table = monitor.peak_breakdown();
    /// assert!(table.is_none_or(|table| table.rows[0].name == "lookup table"));
    /// ```
    pub fn peak_breakdown(&self) -> Option<Breakdown> {
        let at_peak = lock(&self.shared.at_peak);
        at_peak.as_ref().map(|at_peak| at_peak.breakdown.clone())
    }

    pub(crate) fn breakdown_of(&self, reading: &Reading) -> Breakdown {
        Breakdown::new(reading, &lock(&self.shared.categories))
    }

    /// Returns how often each rule fired since the monitor was created or reset.
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
    /// Creates a monitor with a check interval of 5 s.
    fn default() -> Self {
        Self::builder()
            .build()
            .expect("the default configuration is valid")
    }
}

impl Drop for MemoryMonitor {
    fn drop(&mut self) {
        self.stop_monitoring();
        // A span layer may outlive the monitor, but subscriptions end here.
        lock(&self.shared.subscribers).clear();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Returns the time since the monitor was created.
    pub(crate) fn elapsed(&self) -> Duration {
        self.epoch.0.elapsed()
    }

    /// Returns the wall-clock time of an elapsed time.
    pub(crate) fn time_of_day(&self, elapsed: Duration) -> SystemTime {
        self.epoch.1 + elapsed
    }

    pub(crate) fn rss_now(&self) -> Option<u64> {
        self.process.rss_bytes()
    }

    pub(crate) fn heap(&self) -> Option<&HeapCounter> {
        self.heap.as_deref()
    }

    pub(crate) fn usage_now(&self) -> Option<u64> {
        self.rss_now()
            .or_else(|| self.heap.as_ref().and_then(|heap| heap.live()))
    }

    pub(crate) fn high_water_now(&self) -> Option<u64> {
        self.status.high_water_bytes()
    }

    /// Sends an event to every subscriber whose channel is not full.
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
