//! Resampling and voice prompts, compared with the reference.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use tts_core::audio::{Audio, PromptLength, end_on_pause, prepare_voice_prompt};

const PARITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parity");

fn recorded(name: &str) -> Vec<f32> {
    let bytes = fs::read(Path::new(PARITY).join("audio.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    tensors
        .tensor(name)
        .unwrap()
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

fn read(name: &str) -> Audio {
    Audio::read(Path::new(PARITY).join(name)).unwrap()
}

/// The ratio of the energies of `expected` and the difference, in dB.
fn snr_db(expected: &[f32], found: &[f32]) -> f64 {
    assert_eq!(expected.len(), found.len());
    let mut signal = 0.0;
    let mut noise = 0.0;
    for (&a, &b) in expected.iter().zip(found) {
        signal += f64::from(a) * f64::from(a);
        noise += f64::from(a - b) * f64::from(a - b);
    }
    10.0 * (signal / noise).log10()
}

/// Asserts equality up to the rounding of the fade factors.
fn assert_same(expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len());
    for (i, (a, b)) in expected.iter().zip(found).enumerate() {
        assert!((a - b).abs() <= 1e-8, "sample {i}: {a} and {b}");
    }
}

#[test]
fn reads_the_same_samples_as_the_reference() {
    assert!(read("voice_24k.wav").samples() == recorded("voice_24k"));
}

#[test]
fn resampling_matches_the_reference() {
    let found = read("voice_16k_stereo.wav").resampled(24_000).unwrap();
    let snr = snr_db(&recorded("resampled_16k_to_24k"), found.samples());
    println!("{snr:.1} dB");
    assert!(snr >= 50.0, "{snr:.1} dB");
}

#[test]
fn ending_on_a_pause_matches_the_reference() {
    let ended = end_on_pause(&Audio::new(recorded("voice_24k"), 24_000));
    assert_same(&recorded("ended_on_pause"), ended.samples());
}

#[test]
fn a_prompt_at_the_model_rate_is_only_ended_on_a_pause() {
    let prompt =
        prepare_voice_prompt(&read("voice_24k.wav"), 24_000, PromptLength::Truncated).unwrap();
    assert_same(&recorded("ended_on_pause"), prompt.samples());
}

#[test]
fn a_stereo_prompt_at_another_rate_matches_the_mono_prompt() {
    let prompt =
        prepare_voice_prompt(&read("voice_16k_stereo.wav"), 24_000, PromptLength::Whole).unwrap();
    let expected = end_on_pause(&Audio::new(recorded("resampled_16k_to_24k"), 24_000));
    assert!(snr_db(expected.samples(), prompt.samples()) >= 50.0);
}

#[test]
fn equal_rates_change_nothing_and_unsupported_rates_are_rejected() {
    let audio = read("voice_24k.wav");
    assert!(audio.resampled(24_000).unwrap() == audio);
    for rate in [0, 999, 192_001, u32::MAX] {
        let message = audio.resampled(rate).unwrap_err().to_string();
        assert!(message.contains(&format!("{rate} Hz")), "{message}");
        let message = Audio::new(vec![0.0], rate).resampled(24_000).unwrap_err();
        assert!(message.to_string().contains(&format!("{rate} Hz")));
    }
}
