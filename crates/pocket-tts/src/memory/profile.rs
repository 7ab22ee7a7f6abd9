//! What a piece of code takes.

use std::fmt;
use std::time::{Duration, Instant};

use mem_monitor::MemoryMonitor;
use serde::{Deserialize, Serialize};
use tensor_pool::{Bytes, PeakWindow, heap};

use super::bytes::of_monitor;
use super::globals::get_memory_monitor;
use super::phase::{self, Phase};
use super::table::shown;

/// How often the resident set is looked at: often enough for a frame of speech, at less than a percent
/// of a core. What is missed between two looks is seen where it raises the kernel's mark.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The least that a monitor takes; only the peak is asked for here.
const HISTORY: usize = 4;

/// What a piece of code took: see [`profile`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Profile {
    /// What it was called.
    pub name: String,
    /// How long it took.
    #[serde(rename = "time_s", with = "super::bytes::seconds")]
    pub time: Duration,
    /// Heap blocks in use before; like the next two, `None` without a
    /// [`PoolAllocator`](super::PoolAllocator).
    #[serde(rename = "heap_in_bytes", with = "super::bytes::optional")]
    pub heap_in: Option<Bytes>,
    /// Heap blocks in use after.
    #[serde(rename = "heap_out_bytes", with = "super::bytes::optional")]
    pub heap_out: Option<Bytes>,
    /// Heap blocks in use at most.
    #[serde(rename = "heap_peak_bytes", with = "super::bytes::optional")]
    pub heap_peak: Option<Bytes>,
    /// Resident set before.
    #[serde(rename = "rss_before_bytes", with = "super::bytes::optional")]
    pub rss_before: Option<Bytes>,
    /// Resident set after.
    #[serde(rename = "rss_after_bytes", with = "super::bytes::optional")]
    pub rss_after: Option<Bytes>,
    /// Resident set at most: looked at every 10 ms, and the kernel's mark where it rose.
    #[serde(rename = "rss_peak_bytes", with = "super::bytes::optional")]
    pub rss_peak: Option<Bytes>,
    /// The phases that ended meanwhile. None are known unless spans are recorded: by a session that
    /// [profiles](super::Settings::profiling), or with [`span_layer`](super::span_layer).
    pub phases: Vec<Phase>,
}

/// Runs `work` and tells what it took. Figures are of the whole process: other threads are in them.
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
    // One of its own, so that its peak is of this work alone.
    let watch = MemoryMonitor::builder()
        .check_interval(CHECK_INTERVAL)
        .history_capacity(HISTORY)
        .alert_rules([])
        .without_pss()
        .build()
        .unwrap_or_default();
    // Without a thread the kernel's mark is what there is.
    let _ = watch.start_monitoring();
    let rss = || of_monitor(watch.get_current_memory_usage());
    let live = || heap().map(|heap| heap.stats().live);

    let (rss_before, window, heap_in) = (rss(), PeakWindow::new(), live());
    let start = Instant::now();
    let value = work();
    let time = start.elapsed();
    let (heap_out, heap_peak, rss_after) = (live(), window.peak(), rss());

    watch.stop_monitoring();
    let profile = Profile {
        name: name.to_owned(),
        time,
        heap_in,
        heap_out,
        heap_peak,
        rss_before,
        rss_after,
        rss_peak: of_monitor(watch.get_peak_memory_usage())
            .max(rss_before)
            .max(rss_after),
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
            shown(self.heap_in),
            shown(self.heap_out),
            shown(self.heap_peak),
            shown(self.rss_before),
            shown(self.rss_after),
            shown(self.rss_peak),
        )?;
        if !self.phases.is_empty() {
            writeln!(f)?;
            phase::write(f, &self.phases)?;
        }
        Ok(())
    }
}
