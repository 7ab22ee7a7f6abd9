//! Audio: reading files, resampling, preparation of voice prompts, and writing WAV.

mod decode;
mod error;
mod prompt;
mod recording;
mod resample;
mod wav;

use std::io::Write;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

pub use self::decode::MAX_READ_DURATION;
pub use self::error::AudioError;
pub use self::prompt::{
    MIN_VOICE_PROMPT_DURATION, PromptLength, end_on_pause, prepare_voice_prompt,
};
pub(crate) use self::prompt::{PromptCost, prepare};
pub use self::recording::{Recording, RecordingInfo};
pub use self::wav::WavStreamWriter;

pub(crate) type Result<T, E = AudioError> = std::result::Result<T, E>;

/// The sample rates accepted for reading, resampling and writing, in Hz.
///
/// Speech codecs start at 8 kHz and studio equipment ends at 192 kHz; the lower bound allows for toy
/// models. Rates outside this range come from damaged headers.
pub const SAMPLE_RATES_HZ: RangeInclusive<u32> = 1_000..=192_000;

/// Rejects a rate outside [`SAMPLE_RATES_HZ`]; `context` is the operation or the file.
fn check_rate(rate_hz: u32, context: impl FnOnce() -> String) -> Result<()> {
    if SAMPLE_RATES_HZ.contains(&rate_hz) {
        return Ok(());
    }
    Err(AudioError::SampleRate {
        context: context(),
        rate_hz,
        min_hz: *SAMPLE_RATES_HZ.start(),
        max_hz: *SAMPLE_RATES_HZ.end(),
    })
}

/// Mono audio: samples, nominally in -1..=1, and their rate.
///
/// ```
/// use tts_core::audio;
/// use audio::Audio;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("tone.wav");
/// let tone = (0..8_000).map(|i| (i as f32 * 0.1).sin() * 0.5).collect();
/// Audio::new(tone, 16_000).write_wav(&path)?;
///
/// let audio = Audio::read(&path)?.resampled(24_000)?;
/// assert_eq!(audio.sample_rate_hz(), 24_000);
/// // Half a second, and the 200 ms of silence at the end of a written file.
/// assert_eq!(audio.duration().as_millis(), 700);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    samples: Vec<f32>,
    sample_rate_hz: u32,
}

impl Audio {
    /// Creates audio from the samples of one channel.
    pub fn new(samples: Vec<f32>, sample_rate_hz: u32) -> Self {
        Self {
            samples,
            sample_rate_hz,
        }
    }

    /// Returns the samples.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Converts the audio into its samples, without a copy.
    pub fn into_samples(self) -> Vec<f32> {
        self.samples
    }

    /// Returns the sample rate, in Hz.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// Returns the duration; zero if the rate is zero.
    pub fn duration(&self) -> Duration {
        if self.sample_rate_hz == 0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.sample_rate_hz))
    }

    /// Reads a WAV (8 to 32-bit PCM or float), FLAC, MP3 or OGG Vorbis file of at most
    /// [`MAX_READ_DURATION`].
    ///
    /// The format is detected from the content, not from the name. Channels are averaged to one.
    /// Integers are scaled by the power of two that maps them to -1..1 (16 bits: value / 32768); samples
    /// of a float file are not scaled. A WAV file that is shorter than the length in its header, like a
    /// streamed one, is read to its end.
    ///
    /// # Errors
    ///
    /// The file cannot be read, has another format, is damaged, contains no samples, is longer than the
    /// limit or has a rate outside [`SAMPLE_RATES_HZ`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_with_limit(path, MAX_READ_DURATION)
    }

    /// Reads a file as [`Audio::read`] does, but of at most `limit`.
    ///
    /// The limit bounds the memory that a small, highly compressed file can allocate.
    ///
    /// # Errors
    ///
    /// As [`Audio::read`].
    pub fn read_with_limit(path: impl AsRef<Path>, limit: Duration) -> Result<Self> {
        decode::read(path.as_ref(), limit)
    }

    /// Returns the audio at another rate.
    ///
    /// The filter is a windowed sinc without delay. The output has
    /// `ceil(len * rate_hz / self.sample_rate_hz())` samples, and its first sample is at the same time as
    /// the first sample of the input. Equal rates change nothing.
    ///
    /// # Errors
    ///
    /// Either rate is outside [`SAMPLE_RATES_HZ`].
    pub fn resampled(&self, rate_hz: u32) -> Result<Self> {
        for rate in [self.sample_rate_hz, rate_hz] {
            check_rate(rate, || "cannot resample audio".to_owned())?;
        }
        if rate_hz == self.sample_rate_hz {
            return Ok(self.clone());
        }
        let samples = resample::resample(&self.samples, self.sample_rate_hz, rate_hz);
        Ok(Self::new(samples, rate_hz))
    }

    /// Writes a 16-bit mono WAV file, ending with 200 ms of silence.
    ///
    /// The file appears under its name only when it is complete. See [`WavStreamWriter`] for the
    /// conversion of samples.
    ///
    /// # Errors
    ///
    /// The file cannot be written, the rate is outside [`SAMPLE_RATES_HZ`], or the audio exceeds the
    /// limit of a WAV file.
    pub fn write_wav(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut writer = WavStreamWriter::create(path, self.sample_rate_hz)?;
        writer.write(&self.samples)?;
        writer.finish()?;
        Ok(())
    }

    /// Writes the same bytes as [`Audio::write_wav`] to `writer`.
    ///
    /// # Errors
    ///
    /// As [`Audio::write_wav`].
    pub fn write_wav_to(&self, writer: impl Write) -> Result<()> {
        wav::write_all(&self.samples, self.sample_rate_hz, writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_zero_without_a_rate() {
        assert_eq!(
            Audio::new(vec![0.0; 12_000], 24_000).duration(),
            Duration::from_millis(500)
        );
        assert_eq!(Audio::new(vec![0.0; 5], 0).duration(), Duration::ZERO);
    }
}
