//! Decoding of audio files, block by block.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::FORMAT_ID_WAVE;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::{Audio, AudioError, Result, check_rate};
use crate::cancel::CancelToken;

/// The longest file that [`Audio::read`] accepts.
///
/// A voice prompt needs seconds. Ten minutes accept long recordings, which are then truncated, and
/// bound the samples of a malicious file to 440 MiB at the highest rate.
pub const MAX_READ_DURATION: Duration = Duration::from_secs(600);

/// Reads the first audio track of the file as one channel, up to `limit`.
pub(super) fn read(path: &Path, limit: Duration) -> Result<Audio> {
    let mut source = Source::open(path)?;
    let mut samples = Vec::new();
    let mut rate_hz = 0;
    source.decode(&CancelToken::new(), |block, block_rate_hz| {
        rate_hz = block_rate_hz;
        if is_longer(samples.len() + block.len(), rate_hz, limit) {
            return Err(too_long(path, limit));
        }
        samples.extend_from_slice(block);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Audio::new(samples, rate_hz))
}

pub(super) fn is_longer(samples: usize, rate_hz: u32, limit: Duration) -> bool {
    samples as f64 > limit.as_secs_f64() * f64::from(rate_hz)
}

pub(super) fn too_long(path: &Path, limit: Duration) -> AudioError {
    AudioError::TooLong {
        path: path.to_owned(),
        limit,
    }
}

/// The first audio track of an opened file.
pub(super) struct Source {
    path: PathBuf,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track_id: u32,
}

impl Source {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io_error = |source| AudioError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io_error)?;
        if file.metadata().map_err(io_error)?.is_dir() {
            return Err(io_error(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a folder",
            )));
        }
        catch(path, || Self::probe(path, file))
    }

    fn probe(path: &Path, file: File) -> Result<Self> {
        let stream = MediaSourceStream::new(Box::new(file), Default::default());
        let format = symphonia::default::get_probe()
            .probe(
                &Hint::new(),
                stream,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
            .map_err(|error| match error {
                SymphoniaError::Unsupported(_) => damaged(path, "its format is not supported"),
                other => explain(path, other),
            })?;
        let track = format
            .default_track(TrackType::Audio)
            .ok_or_else(|| damaged(path, "it contains no audio track"))?;
        let track_id = track.id;
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            return Err(damaged(path, "its header does not describe the audio"));
        };
        if let Some(rate_hz) = parameters.sample_rate {
            check_rate(rate_hz, || path.display().to_string())?;
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|error| explain(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            format,
            decoder,
            track_id,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Rate, channels and encoding, as the header states them.
    pub(super) fn parameters(&self) -> &AudioCodecParameters {
        self.decoder.codec_params()
    }

    /// Samples of each channel according to the header; `None` if it does not state them reliably.
    pub(super) fn stated_samples(&self) -> Option<u64> {
        let track = self.format.default_track(TrackType::Audio)?;
        track.num_frames
    }

    /// Decodes the track, mixes its channels to one, and calls `each` with every block and its rate in
    /// Hz, until `each` breaks.
    pub(super) fn decode(
        &mut self,
        cancel: &CancelToken,
        mut each: impl FnMut(&[f32], u32) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let path = self.path.clone();
        catch(&path, || self.decode_blocks(cancel, &mut each))
    }

    fn decode_blocks(
        &mut self,
        cancel: &CancelToken,
        each: &mut impl FnMut(&[f32], u32) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut interleaved = Vec::new();
        let mut mono = Vec::new();
        // Rate in Hz and channel count of the first block.
        let mut layout = None;
        while let Some(packet) = self.next_packet()? {
            cancel.check()?;
            let buffer = self
                .decoder
                .decode(&packet)
                .map_err(|error| explain(&self.path, error))?;
            if buffer.frames() == 0 {
                continue;
            }
            let (rate_hz, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
            check_rate(rate_hz, || self.path.display().to_string())?;
            if channels == 0 {
                return Err(damaged(&self.path, "it has no channels"));
            }
            let (first_rate_hz, first_channels) = *layout.get_or_insert((rate_hz, channels));
            if (first_rate_hz, first_channels) != (rate_hz, channels) {
                let problem = format!(
                    "it changes from {first_channels} channels at {first_rate_hz} Hz to {channels} at {rate_hz} Hz"
                );
                return Err(damaged(&self.path, &problem));
            }
            buffer.copy_to_vec_interleaved::<f32>(&mut interleaved);
            let block = match channels {
                1 => &interleaved,
                _ => {
                    mono.clear();
                    let frames = interleaved.chunks_exact(channels);
                    mono.extend(frames.map(|frame| frame.iter().sum::<f32>() / channels as f32));
                    &mono
                }
            };
            if each(block, rate_hz)?.is_break() {
                return Ok(());
            }
        }
        match layout {
            Some(_) => Ok(()),
            None => Err(damaged(&self.path, "it contains no samples")),
        }
    }

    /// Counts the samples of each channel without decoding them, until there are more than `enough`.
    /// The count may exceed the samples that decoding returns, by encoder delay and padding.
    pub(super) fn count_samples(&mut self, cancel: &CancelToken, enough: u64) -> Result<u64> {
        let path = self.path.clone();
        catch(&path, || {
            let mut samples: u64 = 0;
            while samples <= enough
                && let Some(packet) = self.next_packet()?
            {
                cancel.check()?;
                let parts = [packet.dur, packet.trim_start, packet.trim_end];
                samples = parts
                    .iter()
                    .fold(samples, |sum, part| sum.saturating_add(part.get()));
            }
            Ok(samples)
        })
    }

    /// The next packet of the track.
    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track_id => return Ok(Some(packet)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                // The header of a streamed WAV file announces more samples than the file contains.
                Err(error) if self.is_wav() && is_end_of_file(&error) => return Ok(None),
                Err(error) => return Err(explain(&self.path, error)),
            }
        }
    }

    pub(super) fn is_wav(&self) -> bool {
        self.format.format_info().format == FORMAT_ID_WAVE
    }
}

/// Calls symphonia 0.6.1, which panics on some damaged headers. Known inputs: a Vorbis codebook whose
/// number of entries fails the check of its root, or whose codewords are longer than 32 bits; and, where
/// overflow is checked, a WAV format chunk whose channel count times bytes per sample exceeds 16 bits or
/// whose channel mask has bits for fewer than its 32 or more channels. A source is not used after a panic.
fn catch<R>(path: &Path, call: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(damaged(path, "its contents are damaged")))
}

pub(super) fn damaged(path: &Path, problem: &str) -> AudioError {
    AudioError::Decode {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}

fn is_end_of_file(error: &SymphoniaError) -> bool {
    matches!(error, SymphoniaError::IoError(source) if source.kind() == io::ErrorKind::UnexpectedEof)
}

fn explain(path: &Path, error: SymphoniaError) -> AudioError {
    match error {
        ref end if is_end_of_file(end) => damaged(path, "it ends too early"),
        SymphoniaError::IoError(source) => AudioError::Read {
            path: path.to_owned(),
            source,
        },
        SymphoniaError::ResetRequired => {
            damaged(path, "it chains several streams, and only one is supported")
        }
        other => damaged(path, &other.to_string()),
    }
}
