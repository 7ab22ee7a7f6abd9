//! The figures of a run.

use std::fmt;
use std::time::Duration;

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
            write!(f, "; peak memory {}", Bytes(peak as f64))?;
        }
        write!(f, "; seed {}", self.seed)
    }
}

/// A number of bytes, for people.
pub(crate) struct Bytes(pub(crate) f64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
        let (mut value, mut unit) = (self.0, 0);
        while value >= 1024.0 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let decimals = usize::from(unit > 0);
        write!(f, "{value:.decimals$} {}", UNITS[unit])
    }
}

/// Returns the peak RSS of this process; `None` if the system does not report it.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    pocket_tts::memory::memory_summary().peak_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_fitting_unit() {
        assert_eq!(Bytes(1023.0).to_string(), "1023 bytes");
        assert_eq!(Bytes(1536.0).to_string(), "1.5 KiB");
        assert_eq!(
            Bytes(5.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0).to_string(),
            "5120.0 GiB"
        );
    }
}
