//! Measurement of the time and memory of some work in this process.

use bench_report::memory::{COUNTED_PEAK, FAULTS_PER_FRAME, TIME, TIMES_REAL_TIME, Unit};
use std::time::{Duration, Instant};

use pocket_tts::memory::get_memory_ledger;
use tensor_pool::{PeakWindow, minor_faults};

use super::Figures;

/// A running measurement.
pub(super) struct Watch {
    window: PeakWindow,
    faults: Option<u64>,
    start: Instant,
}

/// The result of a measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// Duration.
    pub(super) time: Duration,
    /// Peak of live bytes in the allocator; unknown for other allocators than ours.
    pub(super) heap_peak: Option<u64>,
    /// Minor page faults.
    pub(super) faults: Option<u64>,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self {
            window: PeakWindow::new(),
            faults: minor_faults(),
            start: Instant::now(),
        }
    }

    pub(super) fn stop(self) -> Watched {
        let time = self.start.elapsed();
        let faults = minor_faults().zip(self.faults);
        Watched {
            time,
            heap_peak: self.window.peak_bytes(),
            faults: faults.map(|(after, before)| after.saturating_sub(before)),
        }
    }
}

/// The generated audio.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoken {
    pub(super) seconds: f64,
    pub(super) frames: usize,
}

impl Spoken {
    pub(super) fn new(model: &pocket_tts::TtsModel, samples: usize) -> Self {
        let seconds = samples as f64 / f64::from(model.sample_rate_hz());
        Self {
            seconds,
            frames: (seconds * model.info().frame_rate_hz).round() as usize,
        }
    }
}

impl Watched {
    /// Adds the figures of generation, with a prefix to their names.
    pub(super) fn speech(&self, figures: &mut Figures, prefix: &str, spoken: Spoken) {
        let name = |name: &str| format!("{prefix}{name}");
        figures.time(&name(TIME), self.time);
        figures.put(
            &name(TIMES_REAL_TIME),
            Unit::TimesRealTime,
            spoken.seconds / self.time.as_secs_f64(),
        );
        // Generation neither maps nor unmaps weights.
        let mapped = get_memory_ledger().counted().mapped_bytes;
        let counted_peak = self.heap_peak.map(|heap| heap + mapped);
        figures.counted(&name(COUNTED_PEAK), counted_peak);
        let per_frame = self
            .faults
            .map(|faults| faults as f64 / spoken.frames.max(1) as f64);
        figures.put(&name(FAULTS_PER_FRAME), Unit::Count, per_frame);
    }
}
