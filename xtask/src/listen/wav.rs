//! A look at WAV files that shares nothing with the code that wrote them.

use anyhow::{Context, Result, bail, ensure};

/// One channel of 16-bit sound.
pub(super) struct Recording {
    pub(super) rate_hz: u32,
    samples: Vec<i16>,
}

impl Recording {
    pub(super) fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate_hz)
    }

    /// The loudest sample, where 1 is full scale.
    pub(super) fn peak(&self) -> f64 {
        let loudest = self
            .samples
            .iter()
            .map(|sample| sample.unsigned_abs())
            .max();
        f64::from(loudest.unwrap_or(0)) / f64::from(i16::MAX)
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

/// Reads a file that must be mono 16-bit PCM and state its true lengths.
pub(super) fn parse(bytes: &[u8]) -> Result<Recording> {
    let riff_length = bytes
        .len()
        .checked_sub(8)
        .context("shorter than a RIFF header")?;
    ensure!(&bytes[..4] == b"RIFF", "it does not begin with RIFF");
    ensure!(
        u32_at(bytes, 4)? as usize == riff_length,
        "RIFF states {} bytes where {riff_length} follow",
        u32_at(bytes, 4)?
    );
    ensure!(bytes.get(8..12) == Some(b"WAVE"), "it is no WAVE");

    let mut rate_hz = None;
    let mut rest = &bytes[12..];
    while let Some((id, chunk, next)) = split_chunk(rest)? {
        match id {
            b"fmt " => rate_hz = Some(mono_16_bit_rate(chunk)?),
            b"data" => {
                let rate_hz = rate_hz.context("the samples come before their format")?;
                ensure!(
                    chunk.len().is_multiple_of(2),
                    "the last sample is cut in half"
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
    bail!("it has no samples");
}

/// A chunk's name, its bytes, and what follows it.
type Chunk<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn split_chunk(bytes: &[u8]) -> Result<Option<Chunk<'_>>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let length = u32_at(bytes, 4)? as usize;
    let (id, body) = (&bytes[..4], &bytes[8..]);
    let chunk = body
        .get(..length)
        .with_context(|| format!("a chunk states {length} bytes where {} follow", body.len()))?;
    // Chunks begin at even offsets.
    let next = body.get(length.next_multiple_of(2)..).unwrap_or_default();
    Ok(Some((id, chunk, next)))
}

/// The sample rate in a format chunk: format tag, channels, rate, bytes a second, block, bits.
fn mono_16_bit_rate(chunk: &[u8]) -> Result<u32> {
    let (format, channels) = (u16_at(chunk, 0)?, u16_at(chunk, 2)?);
    let (rate_hz, bytes_per_second) = (u32_at(chunk, 4)?, u32_at(chunk, 8)?);
    let (block, bits) = (u16_at(chunk, 12)?, u16_at(chunk, 14)?);
    ensure!(format == 1, "the format is {format} instead of 1, PCM");
    ensure!(channels == 1, "it has {channels} channels instead of 1");
    ensure!(bits == 16, "a sample has {bits} bits instead of 16");
    ensure!(
        block == 2 && Some(bytes_per_second) == rate_hz.checked_mul(2),
        "blocks of {block} bytes and {bytes_per_second} bytes a second do not fit {rate_hz} Hz"
    );
    Ok(rate_hz)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    let bytes = bytes.get(at..at + 2).context("it ends in its header")?;
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
    fn length_peak_and_clipping_are_measured() {
        let recording = parse(&wav(&[0, i16::MAX, i16::MIN, -3])).unwrap();
        assert_eq!(recording.rate_hz, 8000);
        assert_eq!(recording.seconds(), 4.0 / 8000.0);
        assert!(recording.peak() >= 1.0);
        assert_eq!(recording.clipped_share(), 0.5);
    }

    #[test]
    fn what_is_not_mono_16_bit_is_refused_with_the_reason() {
        for (at, value, reason) in [
            (0, b'X', "RIFF"),
            (8, b'X', "WAVE"),
            (20, 3, "PCM"),
            (22, 2, "channels"),
            (34, 24, "bits"),
            (28, 1, "bytes a second"),
        ] {
            let mut bytes = wav(&[1, 2, 3]);
            bytes[at] = value;
            let error = parse(&bytes).err().expect(reason).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let bytes = wav(&[1, 2, 3]);
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length}");
        }
    }
}
