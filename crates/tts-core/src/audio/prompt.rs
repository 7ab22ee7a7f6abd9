//! Preparation of recordings for the voice encoder.

use std::time::Duration;

use super::resample::{Conversion, Resampler};
use super::{Audio, AudioError, Result};
use crate::cancel::CancelToken;

/// The shortest recording that is accepted as a voice prompt: about one syllable.
pub const MIN_VOICE_PROMPT_DURATION: Duration = Duration::from_millis(100);

/// Length of a truncated prompt, in seconds; as in the reference.
const TRUNCATED_SECONDS: usize = 30;

/// Length of the frames whose loudness is compared, in seconds; as in the reference.
const FRAME_SECONDS: f64 = 0.02;

/// A frame this far below the loudest frame is silence, in dB; as in the reference.
const FLOOR_DB: f64 = 35.0;

/// Length of the fade-out at the end of the speech, in seconds; as in the reference.
const FADE_SECONDS: f64 = 0.02;

/// Length of the appended pause, in seconds; as in the reference.
const PAUSE_SECONDS: f64 = 0.08;

/// Added to a level before the logarithm, so that silence has a finite level; as in the reference.
const LEVEL_EPSILON: f64 = 1e-12;

/// Samples of a recording in memory that are resampled between two checks for cancellation: under 1 ms
/// per 16 samples of the filter's length.
const BLOCK: usize = 16 * 1024;

/// Returns the audio with a pause of exactly 80 ms at its end, like the prompts in training.
///
/// Trailing silence (20 ms frames more than 35 dB below the loudest frame) is removed, the last 20 ms
/// of the rest are faded out linearly, and 80 ms of zeros are appended. Audio shorter than one frame,
/// and audio that is all NaN, is returned unchanged.
///
/// ```
/// use tts_core::audio;
/// use audio::{Audio, end_on_pause};
///
/// let mut samples = vec![0.5; 24_000];
/// samples.extend(vec![0.0; 24_000]);
/// let ended = end_on_pause(&Audio::new(samples, 24_000));
/// assert_eq!(ended.duration().as_millis(), 1_080);
/// ```
pub fn end_on_pause(audio: &Audio) -> Audio {
    let rate_hz = audio.sample_rate_hz();
    let mut samples = Vec::with_capacity(audio.samples().len() + pause_len(rate_hz));
    samples.extend_from_slice(audio.samples());
    pause(&mut samples, rate_hz);
    Audio::new(samples, rate_hz)
}

/// Samples in a duration, rounded down.
fn samples_in(seconds: f64, rate_hz: u32) -> usize {
    (seconds * f64::from(rate_hz)) as usize
}

/// Samples of the appended pause.
fn pause_len(rate_hz: u32) -> usize {
    samples_in(PAUSE_SECONDS, rate_hz)
}

/// Ends samples on a pause, in place. See [`end_on_pause`].
fn pause(samples: &mut Vec<f32>, rate_hz: u32) {
    let frame_len = samples_in(FRAME_SECONDS, rate_hz).max(1);
    let level_db = |frame: &[f32]| {
        let energy: f64 = frame.iter().map(|&s| f64::from(s) * f64::from(s)).sum();
        20.0 * ((energy / frame_len as f64).sqrt() + LEVEL_EPSILON).log10()
    };
    let frames = || samples.chunks_exact(frame_len);
    let loudest_db = frames().map(level_db).fold(f64::NEG_INFINITY, f64::max);
    let is_loud = |frame: &[f32]| level_db(frame) > loudest_db - FLOOR_DB;
    let Some(last_loud) = frames().rposition(is_loud) else {
        return;
    };
    let end = (last_loud + 1) * frame_len;
    samples.truncate(end);
    let fade_len = samples_in(FADE_SECONDS, rate_hz).min(end);
    fade_out(&mut samples[end - fade_len..]);
    samples.resize(end + pause_len(rate_hz), 0.0);
}

/// Scales linearly, from one at the first sample to zero at the last.
fn fade_out(samples: &mut [f32]) {
    let last = samples.len().saturating_sub(1);
    if last == 0 {
        return;
    }
    for (i, sample) in samples.iter_mut().enumerate() {
        *sample *= (last - i) as f32 / last as f32;
    }
}

/// How much of a recording is used as a voice prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PromptLength {
    /// The whole recording.
    #[default]
    Whole,
    /// The first 30 seconds.
    Truncated,
}

/// Prepares a recording for the voice encoder, whose sample rate is `sample_rate_hz`.
///
/// As in the reference, the recording is truncated, resampled, and ended on a pause
/// ([`end_on_pause`]), in this order.
///
/// ```
/// use tts_core::audio;
/// use audio::{Audio, PromptLength, prepare_voice_prompt};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let recording = Audio::new((0..16_000).map(|i| (i as f32 * 0.2).sin()).collect(), 16_000);
/// let prompt = prepare_voice_prompt(&recording, 24_000, PromptLength::Truncated)?;
/// assert_eq!(prompt.sample_rate_hz(), 24_000);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The recording has no samples, is shorter than [`MIN_VOICE_PROMPT_DURATION`], contains samples that
/// are not finite or only zeros, or either rate is outside
/// [`SAMPLE_RATES_HZ`](super::SAMPLE_RATES_HZ).
pub fn prepare_voice_prompt(
    audio: &Audio,
    sample_rate_hz: u32,
    length: PromptLength,
) -> Result<Audio> {
    prepare(audio, sample_rate_hz, length, &CancelToken::new())
}

/// Prepares a recording as [`prepare_voice_prompt`] does, unless `cancel` is cancelled.
pub(crate) fn prepare(
    audio: &Audio,
    sample_rate_hz: u32,
    length: PromptLength,
    cancel: &CancelToken,
) -> Result<Audio> {
    let rate_hz = audio.sample_rate_hz();
    let samples = audio.samples();
    let len = length
        .samples(rate_hz)
        .map_or(samples.len(), |longest| samples.len().min(longest));
    let mut prompt = PromptBuilder::new(rate_hz, sample_rate_hz, len)?;
    for block in samples[..len].chunks(BLOCK) {
        cancel.check()?;
        prompt.push(block);
    }
    prompt.finish()
}

impl PromptLength {
    /// The most samples that are used of a recording; `None` if there is no limit.
    pub(super) fn samples(self, rate_hz: u32) -> Option<usize> {
        match self {
            Self::Whole => None,
            Self::Truncated => Some(TRUNCATED_SECONDS * rate_hz as usize),
        }
    }
}

/// The memory of preparing a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PromptCost {
    /// Bytes at the peak, without the recording.
    pub(crate) peak_bytes: usize,
    /// Samples of the prompt.
    pub(crate) samples: usize,
}

impl PromptCost {
    /// The cost for a recording of at most `samples` samples at `from_hz`.
    pub(crate) fn new(samples: usize, from_hz: u32, to_hz: u32) -> Self {
        let conversion = Conversion::new(from_hz, to_hz);
        let prompt = conversion.output_len(samples) + pause_len(to_hz);
        let held = prompt * size_of::<f32>();
        let peak_bytes = match from_hz == to_hz {
            true => held,
            false => conversion.creation_bytes().max(conversion.bytes() + held),
        };
        Self {
            peak_bytes,
            samples: prompt,
        }
    }
}

/// Prepares a recording that arrives in blocks. Only the prompt is retained.
pub(super) struct PromptBuilder {
    from_hz: u32,
    to_hz: u32,
    /// `None` if both rates are equal.
    resampler: Option<Resampler>,
    /// The prompt so far.
    prompt: Vec<f32>,
    /// Samples of the recording so far.
    len: usize,
    /// The first sample that is not finite.
    not_finite: Option<(usize, f32)>,
    /// Whether a sample is not zero.
    has_sound: bool,
}

impl PromptBuilder {
    /// Starts a prompt from a recording of at most `samples` samples; more are accepted, but are not
    /// covered by the [cost](PromptCost).
    pub(super) fn new(from_hz: u32, to_hz: u32, samples: usize) -> Result<Self> {
        for rate_hz in [from_hz, to_hz] {
            super::check_rate(rate_hz, || "cannot use audio as a voice prompt".to_owned())?;
        }
        let conversion = Conversion::new(from_hz, to_hz);
        Ok(Self {
            from_hz,
            to_hz,
            // Before the prompt: creating the filter takes more memory than using it.
            resampler: (from_hz != to_hz).then(|| Resampler::new(conversion)),
            prompt: Vec::with_capacity(PromptCost::new(samples, from_hz, to_hz).samples),
            len: 0,
            not_finite: None,
            has_sound: false,
        })
    }

    /// Adds the next samples.
    pub(super) fn push(&mut self, block: &[f32]) {
        if self.not_finite.is_none()
            && let Some(at) = block.iter().position(|sample| !sample.is_finite())
        {
            self.not_finite = Some((self.len + at, block[at]));
        }
        self.has_sound = self.has_sound || block.iter().any(|&sample| sample != 0.0);
        self.len += block.len();
        match &mut self.resampler {
            Some(resampler) => resampler.push(block, &mut self.prompt),
            None => self.prompt.extend_from_slice(block),
        }
    }

    /// Returns the prompt, ended on a pause.
    pub(super) fn finish(mut self) -> Result<Audio> {
        self.check_speech()?;
        if let Some(resampler) = self.resampler {
            resampler.finish(&mut self.prompt);
        }
        pause(&mut self.prompt, self.to_hz);
        Ok(Audio::new(self.prompt, self.to_hz))
    }

    /// Rejects a recording without usable speech.
    fn check_speech(&self) -> Result<()> {
        let reject = |problem: String| Err(AudioError::VoicePrompt { problem });
        if self.len == 0 {
            return reject("it has no samples; record a few seconds of speech".to_owned());
        }
        let duration = Duration::from_secs_f64(self.len as f64 / f64::from(self.from_hz));
        if duration < MIN_VOICE_PROMPT_DURATION {
            return reject(format!(
                "it is {} ms long, and the minimum is {} ms; record a few seconds of speech",
                duration.as_millis(),
                MIN_VOICE_PROMPT_DURATION.as_millis()
            ));
        }
        if let Some((at, value)) = self.not_finite {
            return reject(format!(
                "sample {at} is {value}, not a finite number; export the file again, as 16-bit PCM if in doubt"
            ));
        }
        if !self.has_sound {
            return reject(
                "every sample is zero; check that the recording is not muted and contains speech"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seconds: f64, rate_hz: u32, amplitude: f32) -> Vec<f32> {
        (0..(seconds * f64::from(rate_hz)) as usize)
            .map(|i| amplitude * ((i * 7919 % 1009) as f32 / 504.5 - 1.0))
            .collect()
    }

    #[test]
    fn removes_trailing_frames_35_db_below_the_loudest() {
        let rate = 16_000;
        for (tail_db, expected_ms) in [(-34.0f32, 580), (-36.0, 380)] {
            let mut samples = noise(0.3, rate, 0.8);
            samples.extend(noise(0.2, rate, 0.8 * 10f32.powf(tail_db / 20.0)));
            let ended = end_on_pause(&Audio::new(samples, rate));
            assert_eq!(ended.duration().as_millis(), expected_ms, "{tail_db} dB");
        }
    }

    #[test]
    fn fades_out_over_20_ms_and_appends_80_ms_of_zeros() {
        let ended = end_on_pause(&Audio::new(vec![1.0; 24_000], 24_000));
        let samples = ended.samples();
        assert_eq!(samples.len(), 24_000 + 1_920);
        assert!(samples[..24_000 - 480].iter().all(|&s| s == 1.0));
        let fade = &samples[24_000 - 480..24_000];
        assert!(fade[0] == 1.0 && fade[479] == 0.0);
        assert!(fade.windows(2).all(|pair| pair[0] > pair[1]));
        assert!(samples[24_000..].iter().all(|&s| s == 0.0));
    }

    #[test]
    fn returns_audio_without_frames_or_with_only_nan_unchanged() {
        let short = Audio::new(vec![0.5; 479], 24_000);
        assert_eq!(end_on_pause(&short), short);
        let nan = end_on_pause(&Audio::new(vec![f32::NAN; 960], 24_000));
        assert_eq!(nan.samples().len(), 960);
        assert_eq!(end_on_pause(&Audio::new(vec![], 0)), Audio::new(vec![], 0));
    }

    #[test]
    fn truncation_is_optional_and_keeps_30_seconds() {
        let recording = Audio::new(noise(31.0, 8_000, 0.5), 8_000);
        let seconds = |length| {
            prepare_voice_prompt(&recording, 16_000, length)
                .unwrap()
                .duration()
                .as_secs_f64()
        };
        assert_eq!(seconds(PromptLength::Truncated), 30.08);
        assert_eq!(seconds(PromptLength::Whole), 31.08);
    }

    #[test]
    fn rejects_unusable_recordings_with_the_reason() {
        let cases: [(Vec<f32>, u32, &str); 6] = [
            (vec![], 24_000, "no samples"),
            (
                vec![0.1; 2_399],
                24_000,
                "99 ms long, and the minimum is 100 ms",
            ),
            (vec![0.1; 240], 24_000, "10 ms long"),
            (vec![0.0; 24_000], 24_000, "every sample is zero"),
            (vec![0.1; 24_000], 0, "0 Hz is not supported"),
            (
                [vec![0.1; 3_000], vec![f32::NAN; 1]].concat(),
                24_000,
                "sample 3000 is NaN",
            ),
        ];
        for (samples, rate, expected) in cases {
            let error =
                prepare_voice_prompt(&Audio::new(samples, rate), 24_000, PromptLength::Whole)
                    .unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let infinite = Audio::new([vec![0.1; 3_000], vec![f32::INFINITY]].concat(), 24_000);
        let error = prepare_voice_prompt(&infinite, 24_000, PromptLength::Whole).unwrap_err();
        assert!(error.to_string().contains("sample 3000 is inf"), "{error}");
    }
}
