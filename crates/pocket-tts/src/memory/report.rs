//! What a recording leaves for other programs to read.

use std::fmt;
use std::time::Duration;

use mem_monitor::{Breakdown, MemoryMonitor};
use serde::{Deserialize, Serialize};
use tensor_pool::{Bytes, heap};

use super::bytes::of_monitor;
use super::phase;
use super::settings::Settings;
use super::summary::{MemorySummary, memory_summary, named};

/// The most that was used while it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeakFigures {
    /// Resident set.
    #[serde(rename = "rss_bytes", with = "super::bytes::optional")]
    pub rss: Option<Bytes>,
    /// Heap blocks in use; `None` without a [`PoolAllocator`](super::PoolAllocator).
    #[serde(rename = "heap_bytes", with = "super::bytes::optional")]
    pub heap: Option<Bytes>,
    /// Leased tensors.
    #[serde(rename = "pool_bytes", with = "super::bytes")]
    pub pool: Bytes,
}

/// What the `.json` file of a recording holds. `Display` prints its two tables: what the phases took,
/// and where the bytes were when there were most of them.
///
/// ```standalone_crate
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use pocket_tts::memory::{ProfileReport, Settings, init};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// # #[cfg(any())]
/// let folder = ".";
/// let session = init(Settings {
///     profiling: true,
///     profile_dir: folder.into(),
///     ..Settings::default()
/// })?;
/// // … speak …
/// let files = session.finish()?.expect("it was recorded");
/// let report: ProfileReport = serde_json::from_slice(&std::fs::read(files.report)?)?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileReport {
    /// What was in force.
    pub settings: Settings,
    /// From the beginning to the end of the recording.
    #[serde(rename = "time_s", with = "super::bytes::seconds")]
    pub time: Duration,
    /// The most that was used.
    pub peak: PeakFigures,
    /// Where the bytes were at the sample with most of them on the heap.
    pub parts_at_peak: Breakdown,
    /// How memory stood at the end, with the phases and the effective limit.
    pub summary: MemorySummary,
}

impl ProfileReport {
    /// Of what a monitor saw.
    pub(super) fn of(monitor: &MemoryMonitor, settings: &Settings, time: Duration) -> Self {
        let summary = memory_summary();
        let rss = monitor.latest().and_then(|sample| sample.rss_peak_bytes);
        Self {
            settings: settings.clone(),
            time,
            peak: PeakFigures {
                rss: of_monitor(rss),
                heap: heap().map(|heap| heap.stats().peak),
                pool: summary.pool.peak,
            },
            parts_at_peak: monitor
                .peak_breakdown()
                .map_or_else(|| summary.parts.clone(), named),
            summary,
        }
    }
}

impl fmt::Display for ProfileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        phase::write(f, &self.summary.phases)?;
        write!(f, "\n\n{}", self.parts_at_peak)
    }
}
