//! The report of a recording.

use std::fmt;
use std::time::Duration;

use mem_monitor::{Breakdown, MemoryMonitor};
use serde::{Deserialize, Serialize};
use tensor_pool::heap;

use super::phase;
use super::settings::Settings;
use super::summary::{MemorySummary, memory_summary, named};

/// Peaks of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeakFigures {
    /// RSS.
    pub rss_bytes: Option<u64>,
    /// Live heap allocations; `None` without a [`PoolAllocator`](super::PoolAllocator).
    pub heap_bytes: Option<u64>,
    /// Leased tensors.
    pub pool_bytes: u64,
}

/// The contents of a recording's `.json` file. `Display` prints two tables: the phases, and the
/// categories at the peak.
///
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pocket_tts::memory::{ProfileReport, Settings, init};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// # #[cfg(any())]
/// let folder = ".";
/// let session = init(Settings::default().with_profiling_to(folder))?;
/// // … speak …
/// let files = session.finish()?.expect("profiling is enabled");
/// let report: ProfileReport = serde_json::from_slice(&std::fs::read(files.report)?)?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileReport {
    /// The settings of the session.
    pub settings: Settings,
    /// Duration of the recording.
    #[serde(rename = "time_s", with = "super::format::seconds")]
    pub time: Duration,
    /// The peaks.
    pub peak: PeakFigures,
    /// RSS by category, at the sample with the largest heap.
    pub categories_at_peak: Breakdown,
    /// The summary at the end, with the phases and the effective limit.
    pub summary: MemorySummary,
}

impl ProfileReport {
    pub(super) fn new(monitor: &MemoryMonitor, settings: &Settings, time: Duration) -> Self {
        let summary = memory_summary();
        let rss = monitor.latest().and_then(|sample| sample.rss_peak_bytes);
        Self {
            settings: settings.clone(),
            time,
            peak: PeakFigures {
                rss_bytes: rss,
                heap_bytes: heap().map(|heap| heap.stats().peak_bytes),
                pool_bytes: summary.pool.peak_bytes,
            },
            categories_at_peak: monitor
                .peak_breakdown()
                .map_or_else(|| summary.categories.clone(), named),
            summary,
        }
    }
}

impl fmt::Display for ProfileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        phase::write(f, &self.summary.phases)?;
        write!(f, "\n\n{}", self.categories_at_peak)
    }
}
