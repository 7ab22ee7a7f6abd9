//! Cloning of a voice from a recording.

use bench_report::memory::{HEAP_PEAK, PEAK_RSS, TIME};
use std::path::{Path, PathBuf};
use std::time::Instant;

use pocket_tts::Audio;
use pocket_tts::memory::{Settings as MemorySettings, optimize_model_memory};

use super::watch::Watch;
use super::{Figures, Task};
use crate::random_model::murmur;
use crate::{Result, peak_rss_bytes, rss_bytes};

/// The length of the recording.
const SECONDS: usize = 5;

/// Different from the models', so that the recording is resampled like most recordings.
const SAMPLE_RATE_HZ: u32 = 44_100;

fn path(folder: &Path) -> PathBuf {
    folder.join("recording.wav")
}

/// Writes the recording to a folder.
pub(super) fn prepare(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let recording: Audio = murmur(SAMPLE_RATE_HZ, SECONDS);
    Ok(recording.write_wav(path(folder))?)
}

/// Clones the voice, and releases what generation does not need if that is enabled.
pub(super) fn measure(task: &Task) -> Result<Figures> {
    let _session = task.begin(MemorySettings::default())?;
    let model = task.load_model()?;
    let mut figures = Figures::default();
    let watch = Watch::start();
    let voice = model.voice(&path(&task.folder).to_string_lossy())?;
    let watched = watch.stop();
    figures.time(TIME, watched.time);
    figures.counted(HEAP_PEAK, watched.heap_peak);
    figures.bytes(PEAK_RSS, peak_rss_bytes());
    figures.bytes("RSS with the encoder", rss_bytes());
    if task.setup.optimize {
        let start = Instant::now();
        let freed = optimize_model_memory(&model);
        figures.time("freeing", start.elapsed());
        figures.bytes("freed", freed.total_bytes());
    }
    figures.bytes("RSS afterwards", rss_bytes());
    drop(voice);
    Ok(figures)
}
