//! Configuration of a monitor.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use super::{DEFAULT_CHECK_INTERVAL, MemoryMonitor, Shared, sampling::State, sources::Sources};
use crate::{
    AlertRule, Error, History, Source,
    history::LEAST_CAPACITY,
    source::{
        CgroupSource, HeapCounter, MachineSource, PressureSource, ProcessSource, PssSource,
        StatusSource,
    },
    span::Spans,
};

/// A sample costs some ten microseconds; at 1 ms that is a percent of a core.
const LEAST_CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// 1,024 buckets are a point for each pixel of a wide chart and take about 400 KiB.
const DEFAULT_HISTORY_CAPACITY: usize = 1024;

/// Half the time of the default alert on the time to limit: long enough to see through a short
/// burst, short enough to tell before it is too late.
const DEFAULT_TREND_WINDOW: Duration = Duration::from_secs(30);

/// Configures a [`MemoryMonitor`].
pub struct MemoryMonitorBuilder {
    check_interval: Duration,
    root: PathBuf,
    limit_bytes: Option<u64>,
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
            limit_bytes: None,
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
    /// The time between two samples, at least 1 ms; 5 s by default.
    pub fn check_interval(mut self, check_interval: Duration) -> Self {
        self.check_interval = check_interval;
        self
    }

    /// A limit for this process, beside those of the machine and the control groups.
    pub fn limit_bytes(mut self, limit_bytes: u64) -> Self {
        self.limit_bytes = Some(limit_bytes);
        self
    }

    /// These alert rules in place of the [defaults](AlertRule::defaults); none for no alerts.
    pub fn alert_rules(mut self, rules: impl IntoIterator<Item = AlertRule>) -> Self {
        self.rules = rules.into_iter().collect();
        self
    }

    /// The program's own heap counter.
    pub fn heap(mut self, heap: HeapCounter) -> Self {
        self.heap = Some(heap);
        self
    }

    /// A further source: a [`DevicePool`](crate::DevicePool) or one of the program's own.
    pub fn source(mut self, source: impl Source + 'static) -> Self {
        self.sources.push(Box::new(source));
        self
    }

    /// Leaves the proportional set size out: to know it, the kernel walks every mapping once a
    /// second, which a process with very many of them may feel.
    pub fn without_pss(mut self) -> Self {
        self.pss = false;
        self
    }

    /// How many buckets the history may have, at least 4; 1,024 by default. See [`History`].
    pub fn history_capacity(mut self, buckets: usize) -> Self {
        self.history_capacity = buckets;
        self
    }

    /// Over how long growth is measured, for the growth rate and the time to limit; 30 s by
    /// default. Growth is known after 6 samples and a fifth of the window.
    pub fn trend_window(mut self, window: Duration) -> Self {
        self.trend_window = window;
        self
    }

    /// Reads `/proc` and `/sys` under another folder, and asks the system nothing else: for tests
    /// with recorded trees, and for a host's trees that are mounted elsewhere.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// Makes the monitor; nothing is started yet.
    ///
    /// # Errors
    /// [`Error::IntervalTooShort`], [`Error::HistoryTooSmall`], [`Error::ZeroLimit`] or
    /// [`Error::InvalidRule`] where a setting makes no sense.
    pub fn build(self) -> Result<MemoryMonitor, Error> {
        check(self.check_interval)?;
        if self.history_capacity < LEAST_CAPACITY {
            return Err(Error::HistoryTooSmall {
                found: self.history_capacity,
                least: LEAST_CAPACITY,
            });
        }
        if self.limit_bytes == Some(0) {
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
        if self.root == std::path::Path::new("/") {
            sources.push(Arc::new(MachineSource::new()));
        }
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
                self.limit_bytes,
            )),
            subscribers: Mutex::default(),
            parts: Mutex::default(),
            parts_at_peak: Mutex::default(),
            spans: Spans::default(),
        };
        shared.mark_baseline();
        Ok(MemoryMonitor {
            check_interval: Mutex::new(self.check_interval),
            shared: Arc::new(shared),
            sampler: Mutex::new(None),
        })
    }
}

/// Refuses an interval between samples that is too short.
pub(super) fn check(interval: Duration) -> Result<(), Error> {
    if interval < LEAST_CHECK_INTERVAL {
        return Err(Error::IntervalTooShort {
            found: interval,
            least: LEAST_CHECK_INTERVAL,
        });
    }
    Ok(())
}

impl std::fmt::Debug for MemoryMonitorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryMonitorBuilder")
            .field("check_interval", &self.check_interval)
            .field("limit_bytes", &self.limit_bytes)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
