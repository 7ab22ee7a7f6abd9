//! Profiles of a piece of code.

use std::fmt;
use std::time::{Duration, Instant};

use mem_monitor::MemoryMonitor;
use serde::{Deserialize, Serialize};
use tensor_pool::{PeakWindow, heap};

use super::format::amount;
use super::phase::{self, Phase};
use super::runtime::get_memory_monitor;

/// Interval between samples of RSS: short enough for a frame of speech, at less than a percent of a
/// core. Peaks between two samples are included where they raise the kernel's high-water mark.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The shortest history that a monitor accepts; only its peak is used here.
const HISTORY: usize = 4;

/// Time and memory of a piece of code, measured by [`profile`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Profile {
    /// Name of the profile.
    pub name: String,
    /// Duration.
    #[serde(rename = "time_s", with = "super::format::seconds")]
    pub time: Duration,
    /// Live heap allocations before; like the next two, `None` without a
    /// [`PoolAllocator`](super::PoolAllocator).
    pub heap_in_bytes: Option<u64>,
    /// Live heap allocations after.
    pub heap_out_bytes: Option<u64>,
    /// Peak of live heap allocations.
    pub heap_peak_bytes: Option<u64>,
    /// RSS before.
    pub rss_before_bytes: Option<u64>,
    /// RSS after.
    pub rss_after_bytes: Option<u64>,
    /// Peak RSS: the maximum of samples every 10 ms and the kernel's high-water mark, if it rose.
    pub rss_peak_bytes: Option<u64>,
    /// Phases that ended within. Empty unless spans are recorded: by a session that
    /// [profiles](super::Settings::profiling), or with [`span_layer`](super::span_layer).
    pub phases: Vec<Phase>,
}

/// Runs `work` and measures its time and memory. The figures are those of the whole process and
/// include other threads.
///
/// ```
/// # #[cfg(feature = "builtin-voice")] {
/// use pocket_tts::memory::profile;
/// use pocket_tts::{GenerateOptions, TtsModel};
///
/// let model = TtsModel::builtin()?;
/// let voice = model.default_voice()?;
/// let (audio, profile) = profile("generation", || {
///     model.generate(&voice, "Hello world.", &GenerateOptions::default())
/// });
/// println!("{profile}");
/// assert!(!audio?.samples().is_empty());
/// assert!(!profile.time.is_zero());
/// # }
/// # Ok::<(), pocket_tts::Error>(())
/// ```
pub fn profile<T>(name: &'static str, work: impl FnOnce() -> T) -> (T, Profile) {
    let spans = get_memory_monitor().span_window();
    // A monitor of its own, whose peak covers this work only.
    let monitor = MemoryMonitor::builder()
        .check_interval(CHECK_INTERVAL)
        .history_capacity(HISTORY)
        .alert_rules([])
        .without_pss()
        .build()
        .unwrap_or_default();
    // If the thread cannot start, the kernel's high-water mark remains.
    let _ = monitor.start_monitoring();
    let rss = || monitor.get_current_memory_usage();
    let live = || heap().map(|heap| heap.stats().live_bytes);

    let (rss_before_bytes, window, heap_in_bytes) = (rss(), PeakWindow::new(), live());
    let start = Instant::now();
    let value = work();
    let time = start.elapsed();
    let (heap_out_bytes, heap_peak_bytes, rss_after_bytes) = (live(), window.peak_bytes(), rss());

    monitor.stop_monitoring();
    let profile = Profile {
        name: name.to_owned(),
        time,
        heap_in_bytes,
        heap_out_bytes,
        heap_peak_bytes,
        rss_before_bytes,
        rss_after_bytes,
        rss_peak_bytes: monitor
            .get_peak_memory_usage()
            .max(rss_before_bytes)
            .max(rss_after_bytes),
        phases: phase::phases(&spans.stats()),
    };
    (value, profile)
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:.3} s; heap in {}, out {}, peak {}; RSS before {}, after {}, peak {}",
            self.name,
            self.time.as_secs_f64(),
            amount(self.heap_in_bytes),
            amount(self.heap_out_bytes),
            amount(self.heap_peak_bytes),
            amount(self.rss_before_bytes),
            amount(self.rss_after_bytes),
            amount(self.rss_peak_bytes),
        )?;
        if !self.phases.is_empty() {
            writeln!(f)?;
            phase::write(f, &self.phases)?;
        }
        Ok(())
    }
}
