//! Loading a model and its voice.

use bench_report::memory::{HEAP_PEAK, PEAK_RSS, TIME};
use pocket_tts::memory::get_memory_ledger;

use super::watch::Watch;
use super::{Figures, Task};
use crate::{Result, peak_rss_bytes, rss_bytes};

pub(super) fn measure(task: &Task) -> Result<Figures> {
    let watch = Watch::start();
    let loaded = task.load()?;
    let watched = watch.stop();
    let mut figures = Figures::default();
    figures.time(TIME, watched.time);
    figures.bytes(PEAK_RSS, peak_rss_bytes());
    figures.bytes("RSS afterwards", rss_bytes());
    figures.counted(HEAP_PEAK, watched.heap_peak);
    let counted = get_memory_ledger().counted();
    figures.counted(
        "counted afterwards",
        counted.heap_bytes.and(Some(counted.total())),
    );
    drop(loaded);
    Ok(figures)
}
