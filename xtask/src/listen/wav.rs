//! A WAV parser that shares no code with the writer it checks.

use anyhow::{Context, Result, bail, ensure};

/// Mono 16-bit audio.
pub(super) struct Recording {
    pub(super) rate_hz: u32,
    samples: Vec<i16>,
}

impl Recording {
    pub(super) fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate_hz)
    }

    /// The absolute peak, relative to full scale.
    pub(super) fn peak(&self) -> f64 {
        let peak = self
            .samples
            .iter()
            .map(|sample| sample.unsigned_abs())
            .max();
        f64::from(peak.unwrap_or(0)) / f64::from(i16::MAX)
    }

    /// The share of samples at full scale.
    pub(super) fn clipped_share(&self) -> f64 {
        let limit = i16::MAX.unsigned_abs();
        let clipped = self
            .samples
            .iter()
            .filter(|sample| sample.unsigned_abs() >= limit);
        clipped.count() as f64 / self.samples.len() as f64
    }
}

/// Parses a mono 16-bit PCM file whose headers state the true lengths.
pub(super) fn parse(bytes: &[u8]) -> Result<Recording> {
    let riff_length = bytes
        .len()
        .checked_sub(8)
        .context("the file is shorter than a RIFF header")?;
    ensure!(&bytes[..4] == b"RIFF", "the file does not start with RIFF");
    ensure!(
        u32_at(bytes, 4)? as usize == riff_length,
        "the RIFF header states {} bytes, but {riff_length} follow",
        u32_at(bytes, 4)?
    );
    ensure!(
        bytes.get(8..12) == Some(b"WAVE"),
        "the RIFF type is not WAVE"
    );

    let mut rate_hz = None;
    let mut rest = &bytes[12..];
    while let Some((id, chunk, next)) = split_chunk(rest)? {
        match id {
            b"fmt " => rate_hz = Some(mono_16_bit_rate(chunk)?),
            b"data" => {
                let rate_hz = rate_hz.context("the data chunk comes before the format chunk")?;
                ensure!(
                    chunk.len().is_multiple_of(2),
                    "the last sample is incomplete"
                );
                let samples = chunk
                    .chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect();
                return Ok(Recording { rate_hz, samples });
            }
            _ => {}
        }
        rest = next;
    }
    bail!("the file has no data chunk");
}

/// The id of a RIFF chunk, its body, and the bytes that follow it.
type Chunk<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits the first RIFF chunk off `bytes`; `None` at the end of the file.
fn split_chunk(bytes: &[u8]) -> Result<Option<Chunk<'_>>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let length = u32_at(bytes, 4)? as usize;
    let (id, body) = (&bytes[..4], &bytes[8..]);
    let chunk = body
        .get(..length)
        .with_context(|| format!("a chunk states {length} bytes, but {} follow", body.len()))?;
    // Chunks start at even offsets.
    let next = body.get(length.next_multiple_of(2)..).unwrap_or_default();
    Ok(Some((id, chunk, next)))
}

/// Returns the sample rate of a format chunk, whose fields are: format tag, channels, rate, bytes per
/// second, block size, bits per sample.
fn mono_16_bit_rate(chunk: &[u8]) -> Result<u32> {
    let (format, channels) = (u16_at(chunk, 0)?, u16_at(chunk, 2)?);
    let (rate_hz, bytes_per_second) = (u32_at(chunk, 4)?, u32_at(chunk, 8)?);
    let (block, bits) = (u16_at(chunk, 12)?, u16_at(chunk, 14)?);
    ensure!(format == 1, "the format tag is {format}, expected 1 (PCM)");
    ensure!(
        channels == 1,
        "the file has {channels} channels, expected 1"
    );
    ensure!(bits == 16, "a sample has {bits} bits, expected 16");
    ensure!(
        block == 2 && Some(bytes_per_second) == rate_hz.checked_mul(2),
        "blocks of {block} bytes and {bytes_per_second} bytes per second do not match {rate_hz} Hz"
    );
    Ok(rate_hz)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let bytes = bytes
        .get(at..at + 2)
        .context("the file ends inside a header")?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from(u16_at(bytes, at)?) | u32::from(u16_at(bytes, at + 2)?) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(samples: &[i16]) -> Vec<u8> {
        let data = samples.len() as u32 * 2;
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((36 + data).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(16u32.to_le_bytes());
        bytes.extend([1, 0, 1, 0]);
        bytes.extend(8000u32.to_le_bytes());
        bytes.extend(16000u32.to_le_bytes());
        bytes.extend([2, 0, 16, 0]);
        bytes.extend(b"data");
        bytes.extend(data.to_le_bytes());
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    #[test]
    fn measures_length_peak_and_clipping() {
        let recording = parse(&wav(&[0, i16::MAX, i16::MIN, -3])).unwrap();
        assert_eq!(recording.rate_hz, 8000);
        assert_eq!(recording.seconds(), 4.0 / 8000.0);
        assert!(recording.peak() >= 1.0);
        assert_eq!(recording.clipped_share(), 0.5);
    }

    #[test]
    fn rejects_other_formats_and_names_the_field() {
        for (at, value, reason) in [
            (0, b'X', "RIFF"),
            (8, b'X', "WAVE"),
            (20, 3, "PCM"),
            (22, 2, "channels"),
            (34, 24, "bits"),
            (28, 1, "bytes per second"),
        ] {
            let mut bytes = wav(&[1, 2, 3]);
            bytes[at] = value;
            let error = parse(&bytes).err().expect(reason).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn rejects_truncated_files() {
        let bytes = wav(&[1, 2, 3]);
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length}");
        }
    }
}
