//! Loading a model and its voice.

use super::figures::{COUNTED_PEAK, PEAK_RSS, TIME};
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
    figures.counted(COUNTED_PEAK, watched.counted_peak);
    let live = tensor_pool::heap().map(|heap| heap.stats().live);
    figures.counted("counted afterwards", live);
    drop(loaded);
    Ok(figures)
}
