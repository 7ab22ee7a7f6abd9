//! Missing and damaged files, and files of another model.

use std::fs;
use std::path::Path;

use crate::support::{Place, fixture};

/// The input files, each with the expected message for an empty file and for one without its second
/// half.
const FILES: [(&str, &str, &str); 5] = [
    (
        "model/model.safetensors",
        "not a usable safetensors file",
        "not a usable safetensors file",
    ),
    ("model/config.yaml", "is empty", ""),
    (
        "tokenizer.model",
        "cannot use the tokenizer",
        "cannot use the tokenizer",
    ),
    (
        "model/voice.safetensors",
        "not a usable safetensors file",
        "not a usable safetensors file",
    ),
    ("model/voice.wav", "cannot decode the audio file", ""),
];

/// Generates speech from all of [`FILES`]; `file` may be the voice.
fn speak(place: &Place, file: &str) -> crate::support::Run {
    match file {
        "model/voice.wav" => place.generate_with_model(&["--voice", file]),
        _ => place.generate_with_model(&[]),
    }
}

/// The file name of a path, which every message contains.
fn name(file: &str) -> &str {
    file.rsplit('/').next().unwrap()
}

#[test]
fn accepts_undamaged_files() {
    let place = Place::with_model();
    for (file, ..) in FILES {
        speak(&place, file).succeeds();
    }
}

#[test]
fn names_missing_files() {
    for (file, ..) in FILES {
        let place = Place::with_model();
        fs::remove_file(place.path(file)).unwrap();
        speak(&place, file).fails(&["cannot open", name(file), "No such file"]);
        fs::create_dir(place.path(file)).unwrap();
        speak(&place, file).fails(&["cannot open", name(file), "is a directory"]);
    }
}

#[test]
fn names_empty_files() {
    for (file, words, _) in FILES {
        let place = Place::with_model();
        place.write(file, "");
        speak(&place, file).fails(&[name(file), words]);
    }
}

#[test]
fn names_truncated_files() {
    let place = Place::with_model();
    for (file, _, words) in FILES {
        // A truncated WAV file is accepted, because streamed files have no valid length.
        if file == "model/voice.wav" {
            continue;
        }
        let whole = place.read(file);
        for len in [1, 7, 8, 9, 40, whole.len() / 2, whole.len() - 1] {
            // A config without its last character may still be valid.
            if file == "model/config.yaml" && len == whole.len() - 1 {
                continue;
            }
            place.write(file, &whole[..len]);
            let words = if len > 40 { words } else { "" };
            speak(&place, file).fails(&[name(file), words]);
        }
        place.write(file, whole);
    }
    let recording = place.read("model/voice.wav");
    for len in [1, 11, 43, 44] {
        place.write("model/voice.wav", &recording[..len]);
        speak(&place, "model/voice.wav").fails(&["cannot decode the audio file", "voice.wav"]);
    }
    place.write("model/voice.wav", &recording[..recording.len() / 2]);
    speak(&place, "model/voice.wav").succeeds();
    place.write("model/voice.wav", &recording[..44 + 100]);
    speak(&place, "model/voice.wav").fails(&["cannot be used as a voice prompt"]);
}

#[test]
fn names_files_with_a_damaged_header() {
    let place = Place::with_model();
    for (file, at) in [
        // The length of the header, its first character, and one of a key.
        ("model/model.safetensors", &[0, 3, 7, 8, 11][..]),
        ("model/voice.safetensors", &[0, 3, 7, 8, 11]),
        // The colon after the first key, and a character of the key.
        ("model/config.yaml", &[0, 12]),
        // The tag and length of the first piece.
        ("tokenizer.model", &[0, 1]),
        ("model/voice.wav", &[0, 8, 12, 20]),
    ] {
        let whole = place.read(file);
        for &at in at {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            place.write(file, &damaged);
            speak(&place, file).fails(&[name(file)]);
        }
        place.write(file, whole);
    }
}

#[test]
fn never_panics_on_a_flipped_bit() {
    let place = Place::with_model();
    for (file, ..) in FILES {
        let whole = place.read(file);
        // Positions are denser at the start of the file; every bit of a byte occurs.
        let flips = 24;
        for flip in 0..flips {
            let mut damaged = whole.clone();
            let at = flip * flip * (whole.len() - 1) / (flips * flips);
            damaged[at] ^= 1 << (flip % 8);
            place.write(file, &damaged);
            let run = speak(&place, file);
            match run.code {
                0 => {}
                _ => drop(run.fails(&[])),
            }
        }
        place.write(file, whole);
    }
}

#[test]
fn rejects_headers_that_claim_huge_sizes() {
    let place = Place::with_model();
    for file in ["model/model.safetensors", "model/voice.safetensors"] {
        let whole = place.read(file);
        let mut damaged = whole.clone();
        damaged[..8].copy_from_slice(&(1u64 << 60).to_le_bytes());
        place.write(file, &damaged);
        speak(&place, file).fails(&[name(file), "not a usable safetensors file"]);
        // A tensor of that size.
        let header = br#"{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4611686018427387904]}}"#;
        let claim = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 64]].concat();
        place.write(file, claim);
        speak(&place, file).fails(&[name(file), "not a usable safetensors file"]);
        place.write(file, whole);
    }
}

#[test]
fn rejects_nan_in_a_voice() {
    let place = Place::with_model();
    let mut voice = place.read("model/voice.safetensors");
    let end = voice.len();
    voice[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    place.write("model/voice.safetensors", voice);
    place
        .generate_with_model(&[])
        .fails(&["voice.safetensors", "not finite"]);
}

#[test]
fn rejects_voices_of_another_model() {
    let place = Place::with_model();
    let words = ["voice.safetensors is not a voice for this model"];
    place
        .generate(&["Hi.", "--voice", "model/voice.safetensors"])
        .fails(&words);
    fs::copy(
        fixture("small_pointwise/voice.safetensors"),
        place.path("model/voice.safetensors"),
    )
    .unwrap();
    place.generate_with_model(&[]).fails(&words);
    // Weights are not a voice.
    place
        .generate_with_model(&["--voice", "model/model.safetensors"])
        .fails(&["model.safetensors is not a voice for this model"]);
}

#[test]
fn rejects_weights_of_another_model_and_lists_differences() {
    let place = Place::with_model();
    fs::copy(
        fixture("small_pointwise/model.safetensors"),
        place.path("model/model.safetensors"),
    )
    .unwrap();
    place.generate_with_model(&[]).fails(&[
        "model.safetensors do not fit the config",
        "missing: ",
        "unexpected: ",
    ]);
    // A voice is not weights.
    fs::copy(
        place.path("model/voice.safetensors"),
        place.path("model/model.safetensors"),
    )
    .unwrap();
    place
        .generate_with_model(&[])
        .fails(&["do not fit the config"]);
}

#[test]
fn rejects_tokenizers_of_another_model() {
    let place = Place::with_model();
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../builtin-voice/data");
    fs::copy(
        built_in.join("tokenizer.model"),
        place.path("tokenizer.model"),
    )
    .unwrap();
    let config = fs::read_to_string(built_in.join("config.yaml")).unwrap();
    let pieces = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("n_bins: "))
        .expect("the built-in model's config has n_bins");
    place
        .generate_with_model(&[])
        .fails(&[&format!("the tokenizer has {pieces} pieces"), "500"]);
    fs::copy(fixture("tokenizer.json"), place.path("tokenizer.model")).unwrap();
    place
        .generate_with_model(&[])
        .fails(&["cannot use the tokenizer", "tokenizer.model"]);
}

#[test]
fn rejects_invalid_configs_and_names_the_key() {
    let place = Place::with_model();
    let whole = String::from_utf8(place.read("model/config.yaml")).unwrap();
    for (from, to, words) in [
        ("num_heads: 4", "num_head: 4", "did you mean `num_heads`?"),
        (
            "  dtype: float32\n  sample_rate",
            "  sample_rate",
            "`mimi.dtype` is missing",
        ),
        (
            "num_layers: 3",
            "num_layers: many",
            "`flow_lm.transformer.num_layers` is",
        ),
        ("num_heads: 4", "num_heads: 5", "num_heads"),
        (
            "sample_rate: 24000",
            "sample_rate: 99999999999",
            "sample_rate",
        ),
        ("d_model: 64", "d_model: 0", "d_model"),
        ("weights_path: model.safetensors", "", "weights"),
        ("flow_lm:", "flow_lm: [", "config.yaml"),
    ] {
        assert!(whole.contains(from), "{from}");
        place.write("model/config.yaml", whole.replacen(from, to, 1));
        place
            .generate_with_model(&[])
            .fails(&["config.yaml", words]);
    }
    place.write("model/config.yaml", b"\xff\xfe\x00");
    place
        .generate_with_model(&[])
        .fails(&["config.yaml", "UTF-8"]);
}

#[test]
fn rejects_recordings_that_are_not_audio() {
    let place = Place::with_model();
    for file in ["model/config.yaml", "tokenizer.model"] {
        place.generate_with_model(&["--voice", file]).fails(&[
            "cannot decode the audio file",
            file,
            "supported are WAV (PCM or float), FLAC, MP3 and OGG Vorbis",
        ]);
    }
}

#[test]
fn reports_decoder_panics_as_errors() {
    let place = Place::with_model();
    let mut recording = place.read("model/voice.wav");
    // Channels and bits of the format chunk: their product overflows its field.
    recording[22..24].fill(0xff);
    recording[34] = 32;
    place.write("model/voice.wav", recording);
    speak(&place, "model/voice.wav").fails(&["cannot decode the audio file", "voice.wav"]);
}
