//! Reading audio files.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::FORMAT_ID_WAVE;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use super::{Audio, AudioError, Result, check_rate};

/// The longest file that [`Audio::read`] accepts.
///
/// A voice prompt needs seconds. Ten minutes accept long recordings, which are then truncated, and
/// bound the samples of a malicious file to 440 MiB at the highest rate.
pub const MAX_READ_DURATION: Duration = Duration::from_secs(600);

/// Reads the first audio track of the file as one channel, up to `limit`.
pub(super) fn read(path: &Path, limit: Duration) -> Result<Audio> {
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
    // symphonia 0.6.1 panics on some damaged headers. Known inputs: a Vorbis codebook whose number of
    // entries fails the check of its root, or whose codewords are longer than 32 bits; and, where
    // overflow is checked, a WAV format chunk whose channel count times bytes per sample exceeds 16
    // bits or whose channel mask has bits for fewer than its 32 or more channels. No state outlives
    // the call.
    catch_unwind(AssertUnwindSafe(|| decode(path, file, limit)))
        .unwrap_or_else(|_| Err(damaged(path, "its contents are damaged")))
}

fn decode(path: &Path, file: File, limit: Duration) -> Result<Audio> {
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let mut format = symphonia::default::get_probe()
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
    let is_wav = format.format_info().format == FORMAT_ID_WAVE;
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
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|error| explain(path, error))?;

    let mut mono = Mono::new(path, limit);
    let mut interleaved = Vec::new();
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // The header of a streamed WAV file announces more samples than the file contains.
            Err(error) if is_wav && is_end_of_file(&error) => break,
            Err(error) => return Err(explain(path, error)),
        };
        if packet.track_id != track_id {
            continue;
        }
        let buffer = decoder
            .decode(&packet)
            .map_err(|error| explain(path, error))?;
        if buffer.frames() == 0 {
            continue;
        }
        buffer.copy_to_vec_interleaved::<f32>(&mut interleaved);
        mono.push(
            &interleaved,
            buffer.spec().rate(),
            buffer.spec().channels().count(),
        )?;
    }
    mono.finish()
}

/// Mixes decoded blocks to one channel.
struct Mono<'a> {
    path: &'a Path,
    limit: Duration,
    samples: Vec<f32>,
    /// Rate in Hz and channel count of the first block.
    layout: Option<(u32, usize)>,
}

impl<'a> Mono<'a> {
    fn new(path: &'a Path, limit: Duration) -> Self {
        Self {
            path,
            limit,
            samples: Vec::new(),
            layout: None,
        }
    }

    fn push(&mut self, interleaved: &[f32], rate_hz: u32, channels: usize) -> Result<()> {
        check_rate(rate_hz, || self.path.display().to_string())?;
        if channels == 0 {
            return Err(damaged(self.path, "it has no channels"));
        }
        let (first_rate_hz, first_channels) = *self.layout.get_or_insert((rate_hz, channels));
        if (first_rate_hz, first_channels) != (rate_hz, channels) {
            let problem = format!(
                "it changes from {first_channels} channels at {first_rate_hz} Hz to {channels} at {rate_hz} Hz"
            );
            return Err(damaged(self.path, &problem));
        }
        let max_samples = self.limit.as_secs_f64() * f64::from(rate_hz);
        if (self.samples.len() + interleaved.len() / channels) as f64 > max_samples {
            return Err(AudioError::TooLong {
                path: self.path.to_owned(),
                limit: self.limit,
            });
        }
        if channels == 1 {
            self.samples.extend_from_slice(interleaved);
        } else {
            self.samples.extend(
                interleaved
                    .chunks_exact(channels)
                    .map(|frame| frame.iter().sum::<f32>() / channels as f32),
            );
        }
        Ok(())
    }

    fn finish(self) -> Result<Audio> {
        match self.layout {
            Some((rate_hz, _)) => Ok(Audio::new(self.samples, rate_hz)),
            None => Err(damaged(self.path, "it contains no samples")),
        }
    }
}

fn damaged(path: &Path, problem: &str) -> AudioError {
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
