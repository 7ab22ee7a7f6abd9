//! Parity of the built-in model with the reference.

use std::fs;
use std::path::Path;

use pocket_tts::{GenerateOptions, TtsModel};
use safetensors::SafeTensors;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../builtin-voice/golden");

#[test]
fn the_built_in_voice_matches_the_reference() {
    let golden = Path::new(GOLDEN);
    let facts: serde_json::Value =
        serde_json::from_slice(&fs::read(golden.join("golden.json")).unwrap()).unwrap();
    let bytes = fs::read(golden.join("golden.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let head: Vec<f32> = tensors
        .tensor("audio_head")
        .unwrap()
        .data()
        .chunks_exact(4)
        .map(|value| f32::from_le_bytes(value.try_into().unwrap()))
        .collect();

    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let options =
        GenerateOptions::default().with_temperature(facts["temperature"].as_f64().unwrap() as f32);
    let text = facts["text"].as_str().unwrap();
    let audio = model.generate(&voice, text, &options).unwrap();

    assert_eq!(
        audio.samples().len() as u64,
        facts["samples"].as_u64().unwrap()
    );
    let power = |samples: &mut dyn Iterator<Item = f32>| {
        samples.map(|sample| f64::from(sample).powi(2)).sum::<f64>()
    };
    let signal = power(&mut head.iter().copied());
    let mut differences = head.iter().zip(audio.samples()).map(|(a, b)| a - b);
    let snr_db = 10.0 * (signal / power(&mut differences)).log10();
    // The threshold of all parity fixtures; 108 dB were measured.
    assert!(snr_db > 70.0, "{snr_db:.1} dB");
}
