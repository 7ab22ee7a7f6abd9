//! The memory monitor.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

#[cfg(feature = "tracing")]
use crate::span::Spans;
use crate::{
    Alert, AlertRule, Breakdown, Category, Error, Event, Failure, History, Limit, Quantity,
    Reading, Registration, Sample, Subscription,
    alert::Armed,
    event::{Callback, Subscriber, channel},
    lock,
    process::Owner,
    registration::Registry,
    source::{HeapCounter, ProcessSource, StatusSource},
};

mod builder;
mod limits;
mod peak;
mod sampler;
mod sampling;
mod sources;
#[cfg(feature = "tracing")]
mod span_layer;

pub use builder::MemoryMonitorBuilder;
#[cfg(feature = "tracing")]
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
    subscribers: Mutex<Vec<Subscriber>>,
    categories: Arc<Registry<Category>>,
    callbacks: Arc<Registry<Callback>>,
    at_peak: Mutex<Option<AtPeak>>,
    #[cfg(feature = "tracing")]
    pub(crate) spans: Spans,
    owner: Owner,
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
    /// started, [`Error::Forked`] in a forked child.
    pub fn set_check_interval(&self, check_interval: Duration) -> Result<(), Error> {
        builder::check(check_interval)?;
        self.shared.check_not_forked()?;
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
    /// [`Error::Thread`] if the thread cannot be started, [`Error::Forked`] in a forked child.
    pub fn start_monitoring(&self) -> Result<(), Error> {
        self.shared.check_not_forked()?;
        let mut sampler = lock(&self.sampler);
        if sampler.is_none() {
            *sampler = Some(Sampler::start(
                Arc::clone(&self.shared),
                self.check_interval(),
            )?);
        }
        Ok(())
    }

    /// Stops the sampling thread and waits for it, at most for the duration of one sample (less than
    /// 50 ms with fast sources). Does nothing if it is not running, or in a forked child, which has no such
    /// thread. Recorded data is kept.
    pub fn stop_monitoring(&self) {
        if self.shared.is_forked() {
            return;
        }
        let running = lock(&self.sampler).take();
        drop(running);
    }

    /// Whether the sampling thread is running.
    pub fn is_monitoring(&self) -> bool {
        !self.shared.is_forked() && lock(&self.sampler).is_some()
    }

    /// Returns the current usage in bytes: the resident set, or the live heap if that is unknown.
    /// Always a new measurement, without locks, in a few microseconds.
    pub fn get_current_memory_usage(&self) -> Option<u64> {
        self.shared
            .usage_now()
            .or_else(|| self.sample().reading.usage_bytes())
    }

    /// Returns the peak usage in bytes since the monitor was created or [reset](Self::reset): of the resident
    /// set, or of the live heap if that was higher. The heap includes memory that is reserved but never
    /// touched: after `Vec::<u8>::with_capacity(8 << 30)` it is 8 GiB. [`get_peak_rss`](Self::get_peak_rss)
    /// has the touched bytes.
    ///
    /// The peak is the maximum of all samples, the kernel's high-water mark and the heap counter's
    /// peak. The last two count if they rose in that time, so spikes between two samples are included.
    /// A spike below an earlier peak from *before* the monitor was created is missed;
    /// [`reset`](Self::reset) resets the kernel's mark and avoids that.
    pub fn get_peak_memory_usage(&self) -> Option<u64> {
        self.shared.peaks_now().usage
    }

    /// Returns the peak of the resident set in bytes since the monitor was created or reset, with the same
    /// sources as [`get_peak_memory_usage`](Self::get_peak_memory_usage).
    ///
    /// ```
    /// use mem_monitor::{HeapCounter, MemoryMonitor};
    ///
    /// # fn main() -> Result<(), mem_monitor::Error> {
    /// // A program that has reserved 8 GiB and touched a few MiB.
    /// let heap = HeapCounter::new(|| Some(8 << 30));
    /// let monitor = MemoryMonitor::builder().heap(heap).build()?;
    /// assert_eq!(monitor.get_peak_memory_usage(), Some(8 << 30));
    /// assert!(monitor.get_peak_rss() < Some(8 << 30));
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_peak_rss(&self) -> Option<u64> {
        self.shared.peaks_now().rss
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
    /// least 1). The sampler never blocks: if the channel is full, the oldest event is dropped and counted.
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
        let (subscriber, subscription) = channel(capacity);
        lock(&self.shared.subscribers).push(subscriber);
        subscription
    }

    /// Calls a closure with every alert from now on. It is called once per alert, on the thread that took the
    /// sample: usually the sampling thread, whose next sample waits for it. It may use the monitor. If it
    /// panics, it is not called again.
    ///
    /// ```
    /// use mem_monitor::{AlertRule, HeapCounter, MemoryMonitor};
    ///
    /// # fn main() -> Result<(), mem_monitor::Error> {
    /// let monitor = MemoryMonitor::builder()
    ///     .root("/nowhere")
    ///     .heap(HeapCounter::new(|| Some(2 << 20)))
    ///     .alert_rules([AlertRule::usage_above(1 << 20)])
    ///     .build()?;
    /// let (sender, alerts) = std::sync::mpsc::channel();
    /// monitor
    ///     .on_alert(move |alert| drop(sender.send(alert.to_string())))
    ///     .detach();
    /// monitor.sample();
    /// assert!(alerts.try_recv().is_ok_and(|alert| alert.contains("uses 2.0 MiB")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_alert(&self, callback: impl Fn(&Alert) + Send + Sync + 'static) -> Registration {
        self.shared.callbacks.add(Callback::new(callback))
    }

    /// Returns the sources and closures that panicked and are not called any more. Each failure is also
    /// logged once, if the feature `tracing` is enabled.
    ///
    /// ```
    /// use mem_monitor::{Backing, Category, MemoryMonitor};
    ///
    /// let monitor = MemoryMonitor::default();
    /// let broken = Category::new("cache", Backing::Heap, || panic!("no cache"));
    /// monitor.register_category(broken).detach();
    /// assert!(monitor.breakdown().rows[0].failed);
    /// assert_eq!(monitor.failures()[0].message, "no cache");
    /// ```
    pub fn failures(&self) -> Vec<Failure> {
        let mut failures: Vec<Failure> = lock(&self.shared.sources).failures().cloned().collect();
        failures.extend(
            self.shared
                .heap()
                .and_then(|heap| heap.guard().failure().cloned()),
        );
        let categories = self.shared.categories.all();
        failures.extend(
            categories
                .iter()
                .filter_map(|c| c.guard().failure().cloned()),
        );
        let callbacks = self.shared.callbacks.all();
        failures.extend(
            callbacks
                .iter()
                .filter_map(|c| c.guard().failure().cloned()),
        );
        failures
    }

    /// Registers a category of memory; see [`breakdown`](Self::breakdown). Dropping the result removes the
    /// category, [`Registration::detach`] keeps it.
    ///
    /// Its closure is called during samples, so it must not call this monitor. Several categories can have
    /// the same name; Prometheus text has their sum.
    pub fn register_category(&self, category: Category) -> Registration {
        self.shared.categories.add(category)
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
    /// let category = Category::new("lookup table", Backing::Heap, move || Some(bytes));
    /// let _registered = monitor.register_category(category);
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
    /// let category = Category::new("lookup table", Backing::Heap, || Some(1 << 20));
    /// monitor.register_category(category).detach();
    /// monitor.sample();
    /// let table = monitor.peak_breakdown();
    /// assert!(table.is_none_or(|table| table.rows[0].name == "lookup table"));
    /// ```
    pub fn peak_breakdown(&self) -> Option<Breakdown> {
        let at_peak = lock(&self.shared.at_peak);
        at_peak.as_ref().map(|at_peak| at_peak.breakdown.clone())
    }

    pub(crate) fn breakdown_of(&self, reading: &Reading) -> Breakdown {
        self.shared.breakdown_of(reading)
    }

    /// Returns how often each rule fired since the monitor was created or reset.
    pub(crate) fn alert_counts(&self) -> Vec<(AlertRule, u64)> {
        lock(&self.shared.state)
            .rules
            .iter()
            .map(Armed::count)
            .collect()
    }

    #[cfg(feature = "recordings")]
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
        if self.shared.is_forked() {
            // In a forked child, a thread that does not exist there may hold one of the locks, for example in a
            // channel. Without the threads' handles, this would be the last one.
            std::mem::forget(Arc::clone(&self.shared));
            return;
        }
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

    /// Whether the calling process is a forked child of the one that created the monitor.
    pub(crate) fn is_forked(&self) -> bool {
        !self.owner.is_current()
    }

    pub(crate) fn check_not_forked(&self) -> Result<(), Error> {
        match self.is_forked() {
            true => Err(Error::Forked),
            false => Ok(()),
        }
    }

    fn breakdown_of(&self, reading: &Reading) -> Breakdown {
        let categories = self.categories.all();
        Breakdown::new(reading, categories.iter().map(|category| &**category))
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

    /// Sends an event to every subscriber.
    pub(crate) fn publish(&self, event: &Event) {
        lock(&self.subscribers).retain(|subscriber| subscriber.send(event.clone()));
    }
}
