//! Voices by name, from files and from recordings, and exported voices.

use std::fs;

use crate::support::{Place, fixture};

#[test]
fn built_in_voice_is_the_default() {
    let place = Place::new();
    place.generate(&["Hi.", "--seed", "1"]).succeeds();
    let default = place.read("tts_output.wav");
    place
        .generate(&["Hi.", "--seed", "1", "--voice", "slt"])
        .succeeds();
    assert!(place.read("tts_output.wav") == default);
}

#[test]
fn rejects_unknown_voices_and_lists_valid_ones() {
    let place = Place::new();
    place.generate(&["Hi.", "--voice", "nobody"]).fails(&[
        "no voice is named \"nobody\" and there is no such file",
        "slt",
        "recording (WAV, FLAC, MP3 or OGG)",
        ".safetensors",
    ]);
    place
        .generate(&["Hi.", "--voice", ""])
        .fails(&["\"\" is not a valid location: it is empty"]);
    place
        .generate(&["Hi.", "--voice", "nowhere/voice.wav"])
        .fails(&["cannot open nowhere/voice.wav", "No such file"]);
    place
        .generate(&["Hi.", "--voice", "model"])
        .fails(&["no voice is named \"model\""]);
    fs::create_dir(place.path("model")).unwrap();
    place
        .generate(&["Hi.", "--voice", "model"])
        .fails(&["cannot open model", "is a directory"]);
}

#[test]
fn rejects_voices_of_released_models_for_other_models() {
    let place = Place::with_model();
    for run in [
        place.generate(&["Hi.", "--voice", "alba"]),
        place.generate_with_model(&["--voice", "alba"]),
    ] {
        run.fails(&[
            "the voice \"alba\" was made for the released models",
            "recording",
        ]);
    }
}

#[test]
fn rejects_remote_voices_when_offline() {
    let place = Place::new();
    for voice in ["hf://kyutai/tts-voices/a.wav", "https://example.org/a.wav"] {
        place
            .generate(&["Hi.", "--voice", voice])
            .fails(&[voice, "is not on this machine and downloads are disabled"]);
    }
}

#[test]
fn model_from_a_config_requires_a_voice() {
    let place = Place::with_model();
    place
        .generate(&["Hi.", "--config", "model/config.yaml"])
        .fails(&[
            "the model of model/config.yaml has no voice of its own",
            "hf://kyutai/tts-voices/alba-mackenna/casual.wav is not on this machine",
            "use another recording or a .safetensors voice",
        ]);
}

#[test]
fn exported_voice_gives_the_same_audio_as_its_recording() {
    let place = Place::new();
    let recording = fixture("voice_16k_stereo.wav");
    let recording = recording.to_str().unwrap();
    let say = |voice: &str, arguments: &[&str]| {
        let all = [&["Hi.", "--seed", "1", "--voice", voice], arguments].concat();
        place.generate(&all).succeeds();
        place.read("tts_output.wav")
    };
    let cloned = say(recording, &[]);
    let run = place
        .run(&["export-voice", recording, "voice.safetensors"])
        .succeeds();
    assert!(
        run.stderr.starts_with("voice.safetensors: "),
        "{}",
        run.stderr
    );
    assert!(say("voice.safetensors", &[]) == cloned);
    // The recording is too short to be truncated.
    assert!(say(recording, &["--truncate"]) == cloned);
    assert!(say("slt", &[]) != cloned);
    // A named voice can be exported too.
    place
        .run(&["export-voice", "slt", "slt.safetensors", "-q"])
        .succeeds();
    assert!(say("slt.safetensors", &[]) == say("slt", &[]));
}

#[test]
fn rejects_export_to_a_missing_folder() {
    let place = Place::new();
    place
        .run(&["export-voice", "slt", "nowhere/voice.safetensors"])
        .fails(&[
            "cannot write voice nowhere/voice.safetensors",
            "the folder nowhere does not exist",
        ]);
    place
        .run(&["export-voice", "slt"])
        .usage_error(&["<OUT>", "required"]);
}

#[test]
fn export_truncates_long_recordings() {
    let place = Place::new();
    let rate = 1_000;
    let samples = (0..40 * rate).map(|i| (i as f32).sin() / 2.0).collect();
    pocket_tts::Audio::new(samples, rate)
        .write_wav(place.path("long.wav"))
        .unwrap();
    let positions = |seconds: f64| {
        let run = place
            .run(&["export-voice", "long.wav", "voice.safetensors"])
            .succeeds();
        let frames = seconds * 25.0;
        let found = run
            .stderr
            .split(' ')
            .nth(4)
            .unwrap()
            .parse::<f64>()
            .unwrap();
        assert!((found - frames).abs() < 10.0, "{}", run.stderr);
    };
    positions(30.0);
}

#[test]
fn falls_back_to_weights_without_voice_cloning() {
    let place = Place::with_model();
    let config = fs::read_to_string(place.path("model/config.yaml")).unwrap();
    let config = config.replace(
        "weights_path: model.safetensors",
        "weights_path: hf://kyutai/pocket-tts/model.safetensors\n\
         weights_path_without_voice_cloning: model.safetensors",
    );
    place.write("model/config.yaml", config);
    place.generate_with_model(&[]).succeeds();
    place
        .generate_with_model(&["--voice", "model/voice.wav"])
        .fails(&[
            "these weights cannot clone voices",
            "hf://kyutai/pocket-tts/model.safetensors is not on this machine",
        ]);
}

#[cfg(unix)]
#[test]
fn export_writes_an_ordinary_file_and_replaces_no_device() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let place = Place::new();
    place.write("ordinary", "");
    place
        .run(&["export-voice", "slt", "voice.safetensors"])
        .succeeds();
    let mode = |file| fs::metadata(place.path(file)).unwrap().permissions().mode();
    assert_eq!(mode("voice.safetensors"), mode("ordinary"));

    // A named pipe stands for any device.
    let pipe = place.path("pipe.safetensors");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    place
        .run(&["export-voice", "slt", "pipe.safetensors"])
        .fails(&["cannot write voice pipe.safetensors"]);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}
