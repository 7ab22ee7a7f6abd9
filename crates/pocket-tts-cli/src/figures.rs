//! The figures of a run.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use pocket_tts::memory;
use serde::Serialize;

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Length of the generated audio, without the silence at the end of a file.
    pub(crate) audio_seconds: f64,
    /// Seconds of audio per second of generation, from the text to the last sample.
    pub(crate) times_real_time: f64,
    /// Milliseconds from the text to the first audio; `None` if there was none.
    pub(crate) first_audio_ms: Option<f64>,
    /// Peak RSS of the process; `None` if the system does not report it.
    pub(crate) peak_rss_bytes: Option<u64>,
    /// Peak of the counted bytes of the process, which memory limits apply to.
    pub(crate) counted_peak_bytes: Option<u64>,
    pub(crate) frames: usize,
    pub(crate) seed: u64,
    /// Path of the WAV file, or `standard output`.
    pub(crate) output: String,
    pub(crate) sample_rate_hz: u32,
    #[serde(skip)]
    pub(crate) elapsed: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:.2} s of speech in {:.2} s, {:.1} x real time",
            self.output,
            self.audio_seconds,
            self.elapsed.as_secs_f64(),
            self.times_real_time,
        )?;
        if let Some(first) = self.first_audio_ms {
            write!(f, "; first audio after {first:.0} ms")?;
        }
        if let Some(peak) = self.peak_rss_bytes {
            write!(f, "; peak memory {}", ByteSize::b(peak))?;
        }
        write!(f, "; seed {}", self.seed)
    }
}

/// Returns the peak RSS of this process; `None` if the system does not report it.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    memory::memory_summary().rss_peak_bytes
}

/// Returns the peak of the heap since the program started, with the mapped weights and the device memory of
/// now; `None` if the allocator does not count.
pub(crate) fn counted_peak_bytes() -> Option<u64> {
    let counted = memory::get_memory_ledger().counted();
    let heap_bytes = memory::heap()?.stats().peak_bytes;
    Some(heap_bytes + counted.mapped_bytes + counted.device_bytes)
}
