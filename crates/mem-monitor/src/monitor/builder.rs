//! Configuration of a monitor.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use super::{
    DEFAULT_CHECK_INTERVAL, MemoryMonitor, Shared, limits::Configured, sampling::State,
    sources::Sources,
};
use crate::{
    AlertRule, Error, History, Quantity, Source,
    history::MIN_CAPACITY,
    process::Owner,
    source::{
        CgroupSource, CountedBytes, HeapCounter, MachineSource, PressureSource, ProcessSource,
        PssSource, StatusSource,
    },
};

/// A sample takes 15 to 20 µs. At 1 ms, with the wake-ups, the thread takes 3 to 4 percent of a core.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// 1,024 buckets are about one point per pixel of a wide chart and take about 450 KiB.
const DEFAULT_HISTORY_CAPACITY: usize = 1024;

/// Half the threshold of the default alert on the time to the limit: longer than short bursts, short
/// enough to fire in time.
const DEFAULT_TREND_WINDOW: Duration = Duration::from_secs(30);

/// Configures a [`MemoryMonitor`].
pub struct MemoryMonitorBuilder {
    check_interval: Duration,
    root: PathBuf,
    limit: Configured,
    rules: Vec<AlertRule>,
    heap: Option<HeapCounter>,
    sources: Vec<Box<dyn Source>>,
    pss: bool,
    history_capacity: usize,
    trend_window: Duration,
}

impl Default for MemoryMonitorBuilder {
    fn default() -> Self {
        Self {
            check_interval: DEFAULT_CHECK_INTERVAL,
            root: PathBuf::from("/"),
            limit: None,
            rules: AlertRule::defaults().to_vec(),
            heap: None,
            sources: Vec::new(),
            pss: true,
            history_capacity: DEFAULT_HISTORY_CAPACITY,
            trend_window: DEFAULT_TREND_WINDOW,
        }
    }
}

impl MemoryMonitorBuilder {
    /// Sets the time between two samples, at least 1 ms; 5 s by default.
    pub fn check_interval(mut self, check_interval: Duration) -> Self {
        self.check_interval = check_interval;
        self
    }

    /// Sets a limit of one quantity of this process, in addition to the limits of the machine and the
    /// control groups. Alerts and summaries compare the limit with this quantity only.
    ///
    /// ```
    /// use mem_monitor::{HeapCounter, MemoryMonitor, Quantity};
    ///
    /// # fn main() -> Result<(), mem_monitor::Error> {
    /// let monitor = MemoryMonitor::builder()
    ///     .heap(HeapCounter::new(|| Some(300 << 20)))
    ///     .limit_bytes(Quantity::Heap, 500 << 20)
    ///     .build()?;
    /// let configured = &monitor.sample().limits[0];
    /// assert_eq!(configured.used_bytes, Some(300 << 20));
    /// # Ok(())
    /// # }
    /// ```
    pub fn limit_bytes(mut self, quantity: Quantity, limit_bytes: u64) -> Self {
        self.limit = Some((quantity, limit_bytes));
        self
    }

    /// Sets the closure that returns the total of the program's own accounting, or `None` if unknown.
    /// The total is [`Metric::Counted`](crate::Metric::Counted), to which a limit of
    /// [`Quantity::Counted`] applies.
    ///
    /// ```
    /// use mem_monitor::{MemoryMonitor, Quantity};
    ///
    /// # fn main() -> Result<(), mem_monitor::Error> {
    /// let (heap_bytes, mapped_bytes) = (20 << 20, 4 << 20);
    /// let monitor = MemoryMonitor::builder()
    ///     .counted(move || Some(heap_bytes + mapped_bytes))
    ///     .limit_bytes(Quantity::Counted, 32 << 20)
    ///     .build()?;
    /// assert_eq!(monitor.sample().limits[0].share(), Some(0.75));
    /// # Ok(())
    /// # }
    /// ```
    pub fn counted(mut self, bytes: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        self.sources.push(Box::new(CountedBytes(Box::new(bytes))));
        self
    }

    /// Replaces the [default](AlertRule::defaults) alert rules; an empty list disables alerts.
    pub fn alert_rules(mut self, rules: impl IntoIterator<Item = AlertRule>) -> Self {
        self.rules = rules.into_iter().collect();
        self
    }

    /// Sets the program's heap counter.
    pub fn heap(mut self, heap: HeapCounter) -> Self {
        self.heap = Some(heap);
        self
    }

    /// Adds a source, such as a [`DevicePool`](crate::DevicePool).
    pub fn source(mut self, source: impl Source + 'static) -> Self {
        self.sources.push(Box::new(source));
        self
    }

    /// Disables the proportional set size. To compute it, the kernel walks every mapping once a second,
    /// which is slow in processes with many mappings.
    pub fn without_pss(mut self) -> Self {
        self.pss = false;
        self
    }

    /// Sets the capacity of the [`History`] in buckets, at least 4; 1,024 by default.
    pub fn history_capacity(mut self, buckets: usize) -> Self {
        self.history_capacity = buckets;
        self
    }

    /// Sets the window over which growth is measured; 30 s by default. Growth is known after 6 samples
    /// and a fifth of the window.
    pub fn trend_window(mut self, window: Duration) -> Self {
        self.trend_window = window;
        self
    }

    /// Reads `/proc` and `/sys` under another folder and uses no other system interface: for tests with
    /// recorded trees, or for a host's trees that are mounted elsewhere.
    pub fn root(mut self, root: impl AsRef<Path>) -> Self {
        self.root = root.as_ref().to_owned();
        self
    }

    /// Creates the monitor without starting its thread.
    ///
    /// # Errors
    /// [`Error::IntervalTooShort`], [`Error::HistoryTooSmall`], [`Error::ZeroLimit`] or
    /// [`Error::InvalidRule`] for invalid settings.
    pub fn build(self) -> Result<MemoryMonitor, Error> {
        check(self.check_interval)?;
        if self.history_capacity < MIN_CAPACITY {
            return Err(Error::HistoryTooSmall {
                found: self.history_capacity,
                min: MIN_CAPACITY,
            });
        }
        if matches!(self.limit, Some((_, 0))) {
            return Err(Error::ZeroLimit);
        }
        for rule in &self.rules {
            rule.validate()?;
        }

        let process = Arc::new(ProcessSource::new(&self.root));
        let heap = self.heap.map(Arc::new);
        let status = Arc::new(StatusSource::new(&self.root));
        let mut sources = vec![Arc::clone(&process) as Arc<dyn Source>];
        if let Some(heap) = &heap {
            sources.push(Arc::clone(heap) as Arc<dyn Source>);
        }
        sources.push(Arc::clone(&status) as Arc<dyn Source>);
        if self.pss {
            sources.push(Arc::new(PssSource::new(&self.root)));
        }
        sources.push(Arc::new(MachineSource::new(&self.root)));
        sources.push(Arc::new(CgroupSource::new(&self.root)));
        sources.push(Arc::new(PressureSource::new(&self.root)));
        sources.extend(self.sources.into_iter().map(Arc::from));

        let shared = Shared {
            epoch: (Instant::now(), SystemTime::now()),
            root: self.root,
            process,
            status,
            heap,
            sources: Mutex::new(Sources::new(sources)),
            state: Mutex::new(State::new(
                History::new(self.history_capacity),
                &self.rules,
                self.trend_window,
                self.limit,
            )),
            subscribers: Mutex::default(),
            categories: Arc::default(),
            callbacks: Arc::default(),
            at_peak: Mutex::default(),
            #[cfg(feature = "tracing")]
            spans: crate::span::Spans::default(),
            owner: Owner::current(),
        };
        shared.mark_baseline();
        Ok(MemoryMonitor {
            check_interval: Mutex::new(self.check_interval),
            shared: Arc::new(shared),
            sampler: Mutex::new(None),
        })
    }
}

/// Rejects check intervals that are too short.
pub(super) fn check(interval: Duration) -> Result<(), Error> {
    if interval < MIN_CHECK_INTERVAL {
        return Err(Error::IntervalTooShort {
            found: interval,
            min: MIN_CHECK_INTERVAL,
        });
    }
    Ok(())
}

impl std::fmt::Debug for MemoryMonitorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryMonitorBuilder")
            .field("check_interval", &self.check_interval)
            .field("limit", &self.limit)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
