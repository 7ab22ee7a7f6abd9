//! Writing of 16-bit mono WAV: complete, streamed to a file, or streamed to a pipe.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::{AudioError, Result, check_rate};
use crate::output_file::{OutputFile, Target};

/// Bytes before the samples: the RIFF header, a format chunk of 16 bytes and the data chunk's header.
const HEADER_LEN: u32 = 44;

/// Bytes per sample.
const SAMPLE_LEN: u32 = 2;

/// Placeholder length in headers that cannot be corrected later, in samples; as in the reference.
const PIPE_SAMPLES: u32 = 1_000_000_000;

/// The most samples that the 32-bit lengths of a header can express.
///
/// The RIFF chunk's length includes the header after its own 8 bytes.
const MAX_SAMPLES: u64 = ((u32::MAX - (HEADER_LEN - 8)) / SAMPLE_LEN) as u64;

/// Silence at the end of every file, in seconds; as in the reference, because players cut the end.
const END_SILENCE_SECONDS: f64 = 0.2;

/// Samples converted and written per call: 64 KiB.
const BLOCK: usize = 32 * 1024;

/// Writes 16-bit mono WAV while the audio is generated.
///
/// A sample becomes `trunc(clamp(x, -1, 1) * 32767)`; NaN becomes 0. The last sample is followed by
/// 200 ms of silence.
///
/// ```
/// use tts_core::audio;
/// use audio::{Audio, WavStreamWriter};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("speech.wav");
/// let mut writer = WavStreamWriter::create(&path, 24_000)?;
/// for frame in 0..10 {
///     writer.write(&[0.01 * frame as f32; 1_920])?;
///     assert!(!path.exists());
/// }
/// assert_eq!(writer.finish()?, 19_200);
/// assert_eq!(Audio::read(&path)?.duration().as_millis(), 1_000);
/// # Ok(())
/// # }
/// ```
pub struct WavStreamWriter {
    sink: Sink,
    /// The destination, for error messages.
    target: String,
    rate_hz: u32,
    /// Samples written so far.
    samples: u64,
    /// Whether a write has failed.
    failed: bool,
}

enum Sink {
    /// A file that gets its name at the end.
    File(OutputFile),
    /// A writer that cannot seek; its header is already final.
    Pipe(Box<dyn Write + Send>),
}

impl WavStreamWriter {
    /// Creates a file that appears under its name only after [`finish`](Self::finish).
    ///
    /// See [`OutputFile`]. If `path` is a device or a named pipe, the audio is written to it directly, as
    /// by [`to_pipe`](Self::to_pipe).
    ///
    /// # Errors
    ///
    /// The folder does not exist or is not writable, `path` is a folder, or the rate is outside
    /// [`SAMPLE_RATES_HZ`](super::SAMPLE_RATES_HZ).
    pub fn create(path: impl AsRef<Path>, sample_rate_hz: u32) -> Result<Self> {
        let path = path.as_ref();
        let target = path.display().to_string();
        check_rate(sample_rate_hz, || format!("cannot write audio to {target}"))?;
        match Sink::open(path) {
            Ok(sink) => Self::start(sink, target, sample_rate_hz),
            Err(source) => Err(AudioError::Write { target, source }),
        }
    }

    /// Starts writing to a writer that cannot seek, such as the standard output.
    ///
    /// The header contains a placeholder length of one billion samples, as in the reference,
    /// because the length is not known yet. Each [`write`](Self::write) is flushed.
    ///
    /// # Errors
    ///
    /// The header cannot be written, or the rate is outside
    /// [`SAMPLE_RATES_HZ`](super::SAMPLE_RATES_HZ).
    pub fn to_pipe(writer: impl Write + Send + 'static, sample_rate_hz: u32) -> Result<Self> {
        let target = "the output stream".to_owned();
        check_rate(sample_rate_hz, || format!("cannot write audio to {target}"))?;
        Self::start(Sink::Pipe(Box::new(writer)), target, sample_rate_hz)
    }

    fn start(mut sink: Sink, target: String, rate_hz: u32) -> Result<Self> {
        match sink
            .writer()
            .write_all(&header(rate_hz, PIPE_SAMPLES * SAMPLE_LEN))
        {
            Ok(()) => Ok(Self {
                sink,
                target,
                rate_hz,
                samples: 0,
                failed: false,
            }),
            Err(source) => Err(AudioError::Write { target, source }),
        }
    }

    /// Appends samples.
    ///
    /// # Errors
    ///
    /// The samples cannot be written, for example to a full disk, or exceed the limit of a WAV file.
    /// Samples written before are retained: [`finish`](Self::finish) completes the file with them.
    pub fn write(&mut self, samples: &[f32]) -> Result<()> {
        let reserved = end_silence(self.rate_hz) as u64;
        let fits = self.samples + samples.len() as u64 + reserved <= MAX_SAMPLES;
        if matches!(self.sink, Sink::File(_)) && !fits {
            return Err(AudioError::WavTooLong {
                target: self.target.clone(),
                max_samples: MAX_SAMPLES - reserved,
            });
        }
        for block in samples.chunks(BLOCK) {
            if let Err(source) = self.sink.append(&to_bytes(block)) {
                self.failed = true;
                return Err(self.write_error(source));
            }
            self.samples += block.len() as u64;
        }
        Ok(())
    }

    /// Appends 200 ms of silence, completes the file's header and renames the file. Returns the number
    /// of samples before the silence.
    ///
    /// After a failed [`write`](Self::write), the file contains the audio before it, without silence.
    ///
    /// # Errors
    ///
    /// The file cannot be completed. If only the silence does not fit, the file is completed without it,
    /// and the error is returned.
    pub fn finish(mut self) -> Result<u64> {
        let mut silence = 0;
        let mut stopped = None;
        if !self.failed {
            let samples = end_silence(self.rate_hz);
            match self.sink.append(&vec![0; samples * SAMPLE_LEN as usize]) {
                Ok(()) => silence = samples as u64,
                Err(source) => stopped = Some(source),
            }
        }
        let completed = self.sink.complete(self.rate_hz, self.samples + silence);
        match stopped.map_or(completed, Err) {
            Ok(()) => Ok(self.samples),
            Err(source) => Err(AudioError::Write {
                target: self.target,
                source,
            }),
        }
    }

    fn write_error(&self, source: io::Error) -> AudioError {
        AudioError::Write {
            target: self.target.clone(),
            source,
        }
    }
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(match Target::open(path)? {
            Target::Regular(file) => Self::File(file),
            Target::Special(path) => {
                Self::Pipe(Box::new(OpenOptions::new().write(true).open(path)?))
            }
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::File(file) => file,
            Self::Pipe(writer) => writer,
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer().write_all(bytes)?;
        self.writer().flush()
    }

    /// Completes a file of `samples` samples; a pipe needs no completion.
    fn complete(self, rate_hz: u32, samples: u64) -> io::Result<()> {
        match self {
            Self::Pipe(_) => Ok(()),
            Self::File(mut file) => {
                // `write` accepts at most `MAX_SAMPLES`.
                let data_len = samples as u32 * SAMPLE_LEN;
                // A failed write may have written some of its bytes.
                let len = u64::from(HEADER_LEN) + u64::from(data_len);
                file.as_file().set_len(len)?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&header(rate_hz, data_len))?;
                file.persist()
            }
        }
    }
}

/// Writes a complete WAV to `writer`.
pub(super) fn write_all(samples: &[f32], rate_hz: u32, mut writer: impl Write) -> Result<()> {
    let target = || "the output stream".to_owned();
    check_rate(rate_hz, || format!("cannot write audio to {}", target()))?;
    let silence = end_silence(rate_hz);
    if (samples.len() + silence) as u64 > MAX_SAMPLES {
        return Err(AudioError::WavTooLong {
            target: target(),
            max_samples: MAX_SAMPLES - silence as u64,
        });
    }
    let data_len = (samples.len() + silence) as u32 * SAMPLE_LEN;
    let mut write = || {
        writer.write_all(&header(rate_hz, data_len))?;
        for block in samples.chunks(BLOCK) {
            writer.write_all(&to_bytes(block))?;
        }
        writer.write_all(&vec![0; silence * SAMPLE_LEN as usize])?;
        writer.flush()
    };
    write().map_err(|source| AudioError::Write {
        target: target(),
        source,
    })
}

/// Returns the number of samples of the silence at the end.
fn end_silence(rate_hz: u32) -> usize {
    (f64::from(rate_hz) * END_SILENCE_SECONDS) as usize
}

/// Converts to little-endian 16-bit samples, rounded toward zero; NaN becomes 0.
fn to_bytes(samples: &[f32]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| ((sample.clamp(-1.0, 1.0) * 32_767.0) as i16).to_le_bytes())
        .collect()
}

/// Returns the header of a 16-bit mono file with `data_len` bytes of samples.
fn header(rate_hz: u32, data_len: u32) -> [u8; HEADER_LEN as usize] {
    const PCM: u16 = 1;
    const CHANNELS: u16 = 1;
    let mut header = [0; HEADER_LEN as usize];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(data_len + HEADER_LEN - 8).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16u32.to_le_bytes(),
        &PCM.to_le_bytes(),
        &CHANNELS.to_le_bytes(),
        &rate_hz.to_le_bytes(),
        &(rate_hz * SAMPLE_LEN).to_le_bytes(),
        &(SAMPLE_LEN as u16).to_le_bytes(),
        &(SAMPLE_LEN as u16 * 8).to_le_bytes(),
        b"data",
        &data_len.to_le_bytes(),
    ];
    let mut rest = header.as_mut_slice();
    for field in fields {
        let (place, after) = rest.split_at_mut(field.len());
        place.copy_from_slice(field);
        rest = after;
    }
    header
}
