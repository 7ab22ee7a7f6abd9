//! Recordings whose size is known before they are decoded.

use std::fmt;
use std::fs;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_FLAC, CODEC_ID_MP3, CODEC_ID_PCM_ALAW, CODEC_ID_PCM_F32LE, CODEC_ID_PCM_F64LE,
    CODEC_ID_PCM_MULAW, CODEC_ID_PCM_S16LE, CODEC_ID_PCM_S24LE, CODEC_ID_PCM_S32LE,
    CODEC_ID_PCM_U8,
};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use super::decode::{MAX_READ_DURATION, Source, damaged, is_longer, too_long};
use super::prompt::PromptBuilder;
use super::{Audio, PromptLength, Result};
use crate::cancel::CancelToken;

/// The stream's buffer, the probe and the header.
const READER_BYTES: usize = 256 << 10;

/// Tables and states of the MP3 decoder.
const MP3_DECODER_BYTES: usize = 256 << 10;

/// Tables and states of the Vorbis decoder: the codebooks of libvorbis take about 2 MiB.
const VORBIS_DECODER_BYTES: usize = 3 << 20;

/// The longest packet of a format that does not state it: two Vorbis blocks.
const MAX_PACKET_SAMPLES: u64 = 8192;

/// An opened recording, of which only the header was read.
///
/// ```
/// use tts_core::CancelToken;
/// use tts_core::audio::{Audio, PromptLength, Recording};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("tone.wav");
/// let tone = (0..16_000).map(|i| (i as f32 * 0.1).sin() * 0.5).collect();
/// Audio::new(tone, 16_000).write_wav(&path)?;
///
/// let cancel = CancelToken::new();
/// let recording = Recording::open(&path, PromptLength::Truncated, &cancel)?;
/// // One second, and the 200 ms of silence at the end of a written file.
/// assert!(recording.info().max_samples >= 19_200);
/// let prompt = recording.into_prompt(24_000, &cancel)?;
/// assert_eq!(prompt.sample_rate_hz(), 24_000);
/// # Ok(())
/// # }
/// ```
pub struct Recording {
    source: Source,
    length: PromptLength,
    info: RecordingInfo,
}

/// The sizes of a recording, which determine the memory of cloning a voice from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordingInfo {
    /// Sample rate in Hz.
    pub sample_rate_hz: u32,
    /// Channels, which are averaged to one.
    pub channels: usize,
    /// Upper bound of the samples per channel that are read.
    pub max_samples: usize,
    /// Upper bound of the bytes of the buffers and the decoder while the recording is read, without the
    /// samples that are retained.
    pub reading_bytes: usize,
}

impl RecordingInfo {
    /// Audio in memory, from which a voice prompt of this length is cloned.
    #[must_use]
    pub fn of_audio(audio: &Audio, length: PromptLength) -> Self {
        let samples = audio.samples().len();
        let rate_hz = audio.sample_rate_hz();
        Self {
            sample_rate_hz: rate_hz,
            channels: 1,
            max_samples: length
                .samples(rate_hz)
                .map_or(samples, |max| samples.min(max)),
            reading_bytes: 0,
        }
    }
}

impl Recording {
    /// Opens a WAV, FLAC, MP3 or OGG Vorbis file and reads its header, to use `length` of it as a voice
    /// prompt.
    ///
    /// The number of samples comes from the header and the size of the file. Packets are counted in a
    /// file whose header does not state it. The longest accepted duration, or the truncated length, is
    /// assumed for a named pipe.
    ///
    /// # Errors
    ///
    /// The file cannot be read, has another format or is damaged; the whole recording is requested and is
    /// longer than [`MAX_READ_DURATION`]; its rate is outside [`SAMPLE_RATES_HZ`](super::SAMPLE_RATES_HZ);
    /// or `cancel` was cancelled.
    pub fn open(
        path: impl AsRef<Path>,
        length: PromptLength,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let path = path.as_ref();
        cancel.check()?;
        let source = Source::open(path)?;
        let Some(rate_hz) = source.parameters().sample_rate else {
            return Err(damaged(path, "its header does not state the sample rate"));
        };
        let longest = (MAX_READ_DURATION.as_secs() * u64::from(rate_hz)) as usize;
        let limit = length.samples(rate_hz).unwrap_or(longest);
        let (source, samples) = samples_in_file(source, limit, cancel)?;
        if length == PromptLength::Whole && *samples.start() > longest as u64 {
            return Err(too_long(path, MAX_READ_DURATION));
        }
        let parameters = source.parameters();
        let info = RecordingInfo {
            sample_rate_hz: rate_hz,
            channels: channels(parameters),
            max_samples: (*samples.end()).min(limit as u64) as usize,
            reading_bytes: reading_bytes(parameters),
        };
        Ok(Self {
            source,
            length,
            info,
        })
    }

    /// Returns the sizes of the recording.
    pub fn info(&self) -> RecordingInfo {
        self.info
    }

    /// Reads the recording and prepares it as [`prepare_voice_prompt`](super::prepare_voice_prompt) does,
    /// for an encoder with this sample rate. Nothing after the end of the prompt is read or decoded.
    ///
    /// # Errors
    ///
    /// As [`Audio::read`] and [`prepare_voice_prompt`](super::prepare_voice_prompt), the file contains
    /// more samples than its header states, or `cancel` was cancelled.
    pub fn into_prompt(mut self, sample_rate_hz: u32, cancel: &CancelToken) -> Result<Audio> {
        let RecordingInfo {
            sample_rate_hz: from_hz,
            max_samples,
            ..
        } = self.info;
        let path = self.source.path().to_owned();
        let mut prompt = PromptBuilder::new(from_hz, sample_rate_hz, max_samples)?;
        let mut missing = self.length.samples(from_hz).unwrap_or(usize::MAX);
        let mut left = max_samples;
        self.source.decode(cancel, |block, rate_hz| {
            if rate_hz != from_hz {
                let problem =
                    format!("its header states {from_hz} Hz, and its audio has {rate_hz} Hz");
                return Err(damaged(&path, &problem));
            }
            let block = &block[..block.len().min(missing)];
            if block.len() > left {
                let read = max_samples - left + block.len();
                return Err(match is_longer(read, rate_hz, MAX_READ_DURATION) {
                    true => too_long(&path, MAX_READ_DURATION),
                    false => damaged(&path, "it contains more samples than its header states"),
                });
            }
            left -= block.len();
            missing -= block.len();
            prompt.push(block);
            Ok(match missing {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        })?;
        // The decoder and its buffers are not needed any more.
        drop(self.source);
        prompt.finish()
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("path", &self.source.path())
            .field("length", &self.length)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Returns the least and the most samples that each channel may have, and the source, which may have been
/// opened again. `enough` is the number from which on it does not matter.
fn samples_in_file(
    mut source: Source,
    enough: usize,
    cancel: &CancelToken,
) -> Result<(Source, RangeInclusive<u64>)> {
    let path = source.path().to_owned();
    let file_bytes = match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        // A named pipe can be read only once.
        _ => return Ok((source, 0..=u64::MAX)),
    };
    let parameters = source.parameters();
    let stated = source.stated_samples();
    if source.is_wav() {
        let frame_bytes = pcm_bytes(parameters.codec) * channels(parameters).max(1);
        let possible = file_bytes / frame_bytes as u64;
        // The header of a streamed file states more than the file contains.
        let samples = match stated {
            Some(stated) if stated <= possible => stated..=stated,
            _ => 0..=possible,
        };
        return Ok((source, samples));
    }
    if parameters.codec == CODEC_ID_FLAC
        && let Some(stated) = stated
    {
        return Ok((source, stated..=stated));
    }
    // Headers of MP3 files often lack the length, and those of OGG files always do.
    let enough = enough as u64 + MAX_PACKET_SAMPLES;
    let counted = source.count_samples(cancel, enough)?;
    // Before the file is opened again: a Vorbis decoder has large tables.
    drop(source);
    let samples =
        counted.saturating_sub(MAX_PACKET_SAMPLES)..=counted.saturating_add(MAX_PACKET_SAMPLES);
    Ok((Source::open(&path)?, samples))
}

/// Channels according to the header. MP3 and Vorbis headers always state them.
fn channels(parameters: &AudioCodecParameters) -> usize {
    parameters.channels.as_ref().map_or(2, Channels::count)
}

/// Bytes of a stored sample of a WAV file.
fn pcm_bytes(codec: AudioCodecId) -> usize {
    match codec {
        CODEC_ID_PCM_U8 | CODEC_ID_PCM_ALAW | CODEC_ID_PCM_MULAW => 1,
        CODEC_ID_PCM_S16LE => 2,
        CODEC_ID_PCM_S24LE => 3,
        CODEC_ID_PCM_S32LE | CODEC_ID_PCM_F32LE => 4,
        CODEC_ID_PCM_F64LE => 8,
        // The lowest, for an upper bound of the samples.
        _ => 1,
    }
}

/// Upper bound of the bytes of buffers and decoder.
fn reading_bytes(parameters: &AudioCodecParameters) -> usize {
    let channels = channels(parameters);
    let stated = parameters.max_frames_per_packet;
    let packet = stated.unwrap_or(MAX_PACKET_SAMPLES) as usize;
    // A packet as stored, as decoded, interleaved, and of one channel. Stored samples have up to 8 bytes,
    // decoded ones too.
    let (stored, decoder_bytes) = match parameters.codec {
        CODEC_ID_FLAC => (2 * size_of::<u32>(), 0),
        CODEC_ID_PCM_F64LE => (size_of::<f64>(), 0),
        codec if is_pcm(codec) => (size_of::<f32>(), 0),
        CODEC_ID_MP3 => (0, MP3_DECODER_BYTES),
        _ => (0, VORBIS_DECODER_BYTES),
    };
    let decoded = stored.max(size_of::<f32>());
    let per_sample = stored + decoded + size_of::<f32>();
    let mono = packet * size_of::<f32>();
    let buffers = packet.saturating_mul(channels).saturating_mul(per_sample) + mono;
    READER_BYTES + decoder_bytes + buffers
}

fn is_pcm(codec: AudioCodecId) -> bool {
    [
        CODEC_ID_PCM_U8,
        CODEC_ID_PCM_ALAW,
        CODEC_ID_PCM_MULAW,
        CODEC_ID_PCM_S16LE,
        CODEC_ID_PCM_S24LE,
        CODEC_ID_PCM_S32LE,
        CODEC_ID_PCM_F32LE,
    ]
    .contains(&codec)
}
