//! Recordings to clone voices from.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rand::{Rng, RngExt};

/// The form of a recording.
#[derive(Clone, Copy, Debug)]
struct Form {
    rate_hz: u32,
    channels: u16,
    seconds: u32,
}

/// Writes recordings from one second to ten minutes, of several rates and numbers of channels.
pub(super) fn write_all(folder: &Path, random: &mut impl Rng) -> Result<Vec<PathBuf>> {
    let forms = [
        (16_000, 1, 1),
        (44_100, 2, 3),
        (48_000, 1, 12),
        (8_000, 1, 29),
        (22_050, 2, 45),
        (48_000, 2, 120),
        (96_000, 1, 60),
        (16_000, 1, 600),
        (48_000, 6, 600),
    ];
    let forms = forms.map(|(rate_hz, channels, seconds)| Form {
        rate_hz,
        channels,
        seconds,
    });
    let write = |form: Form| {
        let Form {
            rate_hz,
            channels,
            seconds,
        } = form;
        let path = folder.join(format!("{seconds}s-{rate_hz}hz-{channels}ch.wav"));
        write(&path, form, random.random_range(100.0..300.0))?;
        Ok(path)
    };
    forms.into_iter().map(write).collect()
}

/// Writes 16-bit PCM: a hum with pauses, the same every second.
fn write(path: &Path, form: Form, pitch_hz: f32) -> Result<()> {
    let frame_bytes = u32::from(form.channels) * 2;
    let data_bytes = form.seconds * form.rate_hz * frame_bytes;
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(b"RIFF")?;
    file.write_all(&(36 + data_bytes).to_le_bytes())?;
    file.write_all(b"WAVEfmt ")?;
    file.write_all(&16_u32.to_le_bytes())?;
    // PCM.
    file.write_all(&1_u16.to_le_bytes())?;
    file.write_all(&form.channels.to_le_bytes())?;
    file.write_all(&form.rate_hz.to_le_bytes())?;
    file.write_all(&(form.rate_hz * frame_bytes).to_le_bytes())?;
    file.write_all(&(frame_bytes as u16).to_le_bytes())?;
    file.write_all(&16_u16.to_le_bytes())?;
    file.write_all(b"data")?;
    file.write_all(&data_bytes.to_le_bytes())?;
    let mut second = Vec::with_capacity((form.rate_hz * frame_bytes) as usize);
    for index in 0..form.rate_hz {
        let time = index as f32 / form.rate_hz as f32;
        let loudness = (std::f32::consts::PI * time).sin();
        let value = 0.3 * loudness * (std::f32::consts::TAU * pitch_hz * time).sin();
        let sample = (value * f32::from(i16::MAX)) as i16;
        for _ in 0..form.channels {
            second.extend_from_slice(&sample.to_le_bytes());
        }
    }
    for _ in 0..form.seconds {
        file.write_all(&second)?;
    }
    Ok(file.flush()?)
}
