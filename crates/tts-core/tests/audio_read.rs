//! Reading of audio files: every format, and damaged or malicious files.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tts_core::audio::{Audio, AudioError};

/// The files in `tests/fixtures/audio`, which are excerpts of the parity prompts.
const FILES: [&str; 13] = [
    "mono_24k.wav",
    "u8_24k.wav",
    "s24_24k.wav",
    "s32_8k.wav",
    "float_24k.wav",
    "mono_44k.wav",
    "stereo_16k.wav",
    "mono_24k.flac",
    "stereo_44k.flac",
    "mono_24k.mp3",
    "stereo_44k.mp3",
    "tagged_24k.mp3",
    "mono_24k.ogg",
];

/// The first bytes of files of each format.
const MARKERS: [&[u8]; 8] = [
    b"",
    b"RIFF\xff\xff\x00\x00WAVE",
    b"RIFF\xff\xff\x00\x00WAVEfmt \x10\0\0\0",
    b"fLaC",
    b"OggS",
    b"ID3",
    b"\xff\xfb\x90\x00",
    b"\xff\xf3\x84\xc4",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/audio")).join(name)
}

fn parity(name: &str) -> PathBuf {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/parity"
    ))
    .join(name)
}

fn read(name: &str) -> Audio {
    Audio::read(fixture(name)).unwrap()
}

/// The samples of a 16-bit file with the canonical header of 44 bytes.
fn pcm16(path: &Path) -> Vec<f32> {
    fs::read(path).unwrap()[44..]
        .as_chunks::<2>()
        .0
        .iter()
        .map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0)
        .collect()
}

fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// The messages of an error and of its sources.
fn chain(error: &dyn Error) -> String {
    let source = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", source.unwrap_or_default())
}

/// The error message for a file with these bytes.
fn rejection(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "hostile.wav", bytes);
    let message = Audio::read(&path).unwrap_err().to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    message
}

fn wav(channels: u16, rate_hz: u32, bits: u16, data_len: u32, data: &[u8]) -> Vec<u8> {
    let block = channels.wrapping_mul(bits.div_ceil(8));
    [
        b"RIFF",
        data_len.saturating_add(36).to_le_bytes().as_slice(),
        b"WAVEfmt ",
        &16u32.to_le_bytes(),
        &1u16.to_le_bytes(),
        &channels.to_le_bytes(),
        &rate_hz.to_le_bytes(),
        &rate_hz.wrapping_mul(u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        &bits.to_le_bytes(),
        b"data",
        &data_len.to_le_bytes(),
        data,
    ]
    .concat()
}

/// The ratio of the energies of `expected` and the difference, in dB, over the shorter length.
fn snr_db(expected: &[f32], found: &[f32]) -> f64 {
    let mut signal = 0.0;
    let mut noise = 0.0;
    for (&a, &b) in expected.iter().zip(found) {
        signal += f64::from(a) * f64::from(a);
        noise += f64::from(a - b) * f64::from(a - b);
    }
    10.0 * (signal / noise).log10()
}

#[test]
fn sixteen_bit_pcm_is_scaled_by_32768() {
    let path = parity("voice_24k.wav");
    let audio = Audio::read(&path).unwrap();
    assert_eq!(audio.sample_rate_hz(), 24_000);
    assert!(audio.samples() == pcm16(&path));
}

#[test]
fn channels_are_averaged() {
    let path = parity("voice_16k_stereo.wav");
    let audio = Audio::read(&path).unwrap();
    let channels = pcm16(&path);
    let expected: Vec<f32> = channels
        .chunks(2)
        .map(|pair| (pair[0] + pair[1]) / 2.0)
        .collect();
    assert_eq!(audio.sample_rate_hz(), 16_000);
    assert!(audio.samples() == expected);
}

#[test]
fn every_format_is_read_with_its_rate_and_length() {
    let lengths_and_rates = FILES.map(|name| {
        let audio = read(name);
        (name, audio.samples().len(), audio.sample_rate_hz())
    });
    assert_eq!(
        lengths_and_rates,
        [
            ("mono_24k.wav", 4_800, 24_000),
            ("u8_24k.wav", 4_800, 24_000),
            ("s24_24k.wav", 2_400, 24_000),
            ("s32_8k.wav", 1_600, 8_000),
            ("float_24k.wav", 2_400, 24_000),
            ("mono_44k.wav", 4_410, 44_100),
            ("stereo_16k.wav", 2_400, 16_000),
            ("mono_24k.flac", 4_800, 24_000),
            ("stereo_44k.flac", 4_410, 44_100),
            ("mono_24k.mp3", 4_800, 24_000),
            ("stereo_44k.mp3", 8_820, 44_100),
            ("tagged_24k.mp3", 4_800, 24_000),
            ("mono_24k.ogg", 4_800, 24_000),
        ]
    );
}

#[test]
fn lossless_formats_are_bit_identical() {
    let original = read("mono_24k.wav");
    for name in ["mono_24k.flac", "s24_24k.wav", "float_24k.wav"] {
        let found = read(name);
        let same = found.samples() == &original.samples()[..found.samples().len()];
        assert!(same, "{name}");
    }
}

#[test]
fn lossy_formats_have_the_same_audio_without_delay() {
    let original = read("mono_24k.wav");
    for (name, least_db) in [
        ("u8_24k.wav", 20.0),
        ("mono_24k.mp3", 8.0),
        ("mono_24k.ogg", 8.0),
    ] {
        let snr = snr_db(original.samples(), read(name).samples());
        assert!(snr > least_db, "{name}: {snr:.1} dB");
    }
    for (name, original) in [
        ("s32_8k.wav", "mono_24k.wav"),
        ("stereo_44k.mp3", "stereo_16k.wav"),
    ] {
        let original = read(original).resampled(8_000).unwrap();
        let found = read(name).resampled(8_000).unwrap();
        let snr = snr_db(original.samples(), found.samples());
        assert!(snr > 8.0, "{name}: {snr:.1} dB");
    }
}

#[test]
fn detects_the_format_from_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        &folder,
        "voice.mp3",
        &fs::read(fixture("mono_24k.flac")).unwrap(),
    );
    assert!(Audio::read(&path).unwrap() == read("mono_24k.wav"));
}

#[test]
fn a_wav_shorter_than_its_header_is_read_to_its_end() {
    for header_length in [2_000_000_000, u32::MAX - 36, u32::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let path = write(
            &folder,
            "streamed.wav",
            &wav(1, 24_000, 16, header_length, &[1; 4_800]),
        );
        assert_eq!(Audio::read(&path).unwrap().samples().len(), 2_400);
    }
}

#[test]
fn an_unreadable_file_is_reported_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.wav");
    let error = Audio::read(&missing).unwrap_err();
    assert!(matches!(error, AudioError::Read { .. }));
    let message = chain(&error);
    assert!(message.contains("missing.wav: No such file"), "{message}");
    let message = chain(&Audio::read(folder.path()).unwrap_err());
    assert!(message.contains("it is a folder"), "{message}");
}

#[test]
fn rejects_other_files_with_the_supported_formats() {
    let noise: Vec<u8> = (0..100_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for bytes in [
        &b""[..],
        b"R",
        b"Hello, this is a text.\n",
        &[0; 5_000],
        &noise,
    ] {
        let message = rejection(bytes);
        assert!(
            message.contains("WAV (PCM or float), FLAC, MP3"),
            "{message}"
        );
    }
}

#[test]
fn rejects_invalid_headers_with_their_values() {
    let data = [1; 4_800];
    for (bytes, expected) in [
        (wav(0, 24_000, 16, 4_800, &data), "channel"),
        (wav(1, 0, 16, 4_800, &data), "0 Hz"),
        (
            wav(1, 1, 16, 4_800, &data),
            "1 Hz is not supported; use one from 1000 to 192000",
        ),
        (
            wav(1, 4_000_000_000, 16, 4_800, &data),
            "4000000000 Hz is not supported",
        ),
        (wav(1, 24_000, 0, 4_800, &data), "bits"),
        (wav(1, 24_000, 17, 4_800, &data), "bits"),
        (wav(1, 24_000, 16, 0, &[]), "no samples"),
        (wav(1, 24_000, 16, u32::MAX, &[]), "no samples"),
        (
            wav(1, 24_000, 16, 4_800, &[])[..30].to_vec(),
            "ends too early",
        ),
    ] {
        let message = rejection(&bytes);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_header_that_overflows_the_decoder_does_not_panic() {
    for channels in [27, 60, 40_000, u16::MAX] {
        read_or_reject(&wav(channels, 24_000, 16, 4_800, &[1; 4_800]));
    }
}

#[test]
fn rejects_files_over_the_limit() {
    let path = fixture("mono_24k.wav");
    let limit = Duration::from_millis(200);
    assert_eq!(
        Audio::read_with_limit(&path, limit).unwrap().duration(),
        limit
    );
    let error = Audio::read_with_limit(&path, Duration::from_millis(199)).unwrap_err();
    assert!(matches!(error, AudioError::TooLong { .. }));
    assert!(error.to_string().contains("0.199 seconds"), "{error}");
    assert!(error.to_string().contains("mono_24k.wav"), "{error}");
}

/// Reads a file with these bytes, which yields audio, or an error with the file's name.
fn read_or_reject(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "damaged", bytes);
    match Audio::read(&path) {
        Ok(audio) => assert!(!audio.samples().is_empty()),
        Err(error) => assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        ),
    }
}

#[test]
fn a_file_truncated_in_its_header_does_not_panic() {
    for name in FILES {
        let bytes = fs::read(fixture(name)).unwrap();
        for len in 0..300.min(bytes.len()) {
            read_or_reject(&bytes[..len]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_damaged_file_does_not_panic(
        name in prop::sample::select(FILES.as_slice()),
        // Headers are short: half of the damage is done in the first bytes.
        flips in prop::collection::vec((prop_oneof![0usize..200, any::<usize>()], 0u8..8), 1..12),
        keep in prop_oneof![Just(1.0), 0.0..1.0],
    ) {
        let mut bytes = fs::read(fixture(name)).unwrap();
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        read_or_reject(&bytes);
    }

    #[test]
    fn a_damaged_ogg_file_with_valid_checksums_does_not_panic(
        flips in prop::collection::vec((prop_oneof![0usize..200, any::<usize>()], 0u8..8), 1..6),
    ) {
        let mut bytes = fs::read(fixture("mono_24k.ogg")).unwrap();
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        renew_ogg_checksums(&mut bytes);
        read_or_reject(&bytes);
    }

    #[test]
    fn random_bytes_after_a_marker_do_not_panic(
        marker in prop::sample::select(MARKERS.as_slice()),
        tail in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        read_or_reject(&[marker, &tail].concat());
    }
}

/// Recomputes the checksum of each page, so that the damage reaches the decoder.
fn renew_ogg_checksums(bytes: &mut [u8]) {
    let mut start = 0;
    while bytes.len() >= start + 27 {
        let segments = usize::from(bytes[start + 26]);
        let Some(table) = bytes.get(start + 27..start + 27 + segments) else {
            return;
        };
        let end = start + 27 + segments + table.iter().map(|&len| usize::from(len)).sum::<usize>();
        if end > bytes.len() {
            return;
        }
        bytes[start + 22..start + 26].fill(0);
        let mut crc = 0u32;
        for &byte in &bytes[start..end] {
            crc ^= u32::from(byte) << 24;
            for _ in 0..8 {
                crc = if crc >> 31 == 1 {
                    crc << 1 ^ 0x04c1_1db7
                } else {
                    crc << 1
                };
            }
        }
        bytes[start + 22..start + 26].copy_from_slice(&crc.to_le_bytes());
        start = end;
    }
}
