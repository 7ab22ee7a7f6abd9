//! Models through the facade: loading, concurrent speech, info.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use pocket_tts::hub::{HubError, HubOptions};
use pocket_tts::{Error, GenerateOptions, LoadOptions, ModelSource, SpeechStream, TtsModel, Voice};
use pocket_tts::{Location, Preset};

const FIXTURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tts-core/tests/fixtures/parity"
);

fn fixture(path: &str) -> PathBuf {
    let path = Path::new(FIXTURES).join(path);
    assert!(path.is_file(), "the fixture {} is missing", path.display());
    path
}

fn seeded(seed: u64) -> GenerateOptions {
    GenerateOptions::default().with_seed(seed)
}

/// Options without network and with an empty cache.
fn offline(cache: &Path) -> LoadOptions {
    let hub = HubOptions::default().with_offline().with_cache_dir(cache);
    LoadOptions::default().with_hub(hub)
}

#[test]
fn models_and_voices_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync + Clone + 'static>() {}
    fn is_sent<T: Send + 'static>() {}
    is_shared::<TtsModel>();
    is_shared::<Voice>();
    is_shared::<ModelSource>();
    is_sent::<SpeechStream>();
    is_sent::<Error>();
}

#[test]
fn concurrent_generations_equal_sequential_ones() {
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let say = |seed| {
        let text = format!("This is number {seed}.");
        model.generate(&voice, &text, &seeded(seed)).unwrap()
    };
    let alone: Vec<_> = (0..4).map(say).collect();
    let together: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || say(seed))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(together == alone);
    assert!(alone[0] != alone[1]);
}

#[test]
fn a_stream_yields_the_generation_in_chunks() {
    let model = TtsModel::builtin().unwrap();
    let voice = model.default_voice().unwrap();
    let text = "One. Two.";
    let whole = model.generate(&voice, text, &seeded(3)).unwrap();
    let mut stream = model.stream(&voice, text, &seeded(3)).unwrap();
    let mut samples = Vec::new();
    let mut chunks = 0;
    while let Some(chunk) = stream.next().transpose().unwrap() {
        assert_eq!(chunk.sample_rate_hz(), model.sample_rate_hz());
        samples.extend_from_slice(chunk.samples());
        chunks += 1;
    }
    assert!(chunks > 1);
    assert!(samples == whole.samples());
    let progress = stream.progress();
    assert!(progress.is_last_segment && progress.frames <= progress.max_frames);
}

#[test]
fn rejects_an_unknown_preset_with_the_known_names() {
    let message = TtsModel::from_preset("klingon").err().unwrap().to_string();
    assert!(
        message.contains("\"klingon\"") && message.contains("french"),
        "{message}"
    );
}

#[test]
fn a_missing_preset_error_names_the_download_command() {
    let cache = tempfile::tempdir().unwrap();
    let preset = Preset::named("french").unwrap();
    let error = TtsModel::load(ModelSource::Preset(preset), offline(cache.path()));
    let error = error.err().unwrap();
    assert!(
        matches!(error, Error::Hub(HubError::Offline { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("hf download"), "{error}");
}

/// Loads a copy of a fixture's model with other lines in its config.
fn altered_model(folder: &Path, lines: &str) -> TtsModel {
    fs::create_dir(folder.join("lsd")).unwrap();
    for file in ["lsd/model.safetensors", "tokenizer.model"] {
        fs::copy(fixture(file), folder.join(file)).unwrap();
    }
    let config = fs::read_to_string(fixture("lsd/config.yaml")).unwrap();
    let config = config.replace("weights_path: model.safetensors", lines);
    fs::write(folder.join("lsd/config.yaml"), config).unwrap();
    let source = ModelSource::Config(Location::Local(folder.join("lsd/config.yaml")));
    TtsModel::load(source, offline(folder)).unwrap()
}

#[test]
fn unavailable_weights_fall_back_to_those_without_cloning() {
    let folder = tempfile::tempdir().unwrap();
    let model = altered_model(
        folder.path(),
        "weights_path: hf://kyutai/pocket-tts/gated.safetensors\n\
         weights_path_without_voice_cloning: model.safetensors",
    );
    let voice = model
        .voice(fixture("lsd/voice.safetensors").to_str().unwrap())
        .unwrap();
    model.generate(&voice, "Hi.", &seeded(1)).unwrap();
    let reason = model.info().no_voice_cloning.unwrap();
    assert!(
        reason.contains("hf://kyutai/pocket-tts/gated.safetensors"),
        "{reason}"
    );
    // The recording is not downloaded.
    let error = model.voice("https://example.org/voice.wav").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("these weights cannot clone voices: "),
        "{error}"
    );
    assert!(error.to_string().contains(&reason), "{error}");
}

#[test]
fn the_default_voice_of_a_config_is_cloned_from_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let model = altered_model(folder.path(), "weights_path: model.safetensors");
    let error = model.default_voice().unwrap_err();
    let Error::DefaultVoice { source, .. } = &error else {
        panic!("{error}");
    };
    assert!(
        source.to_string().contains("alba-mackenna/casual.wav"),
        "{source}"
    );

    // Once it is in the cache, it is cloned.
    let repository = folder.path().join("models--kyutai--tts-voices");
    let snapshot = repository.join("snapshots/0123/alba-mackenna");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), "0123").unwrap();
    fs::copy(fixture("voice_24k.wav"), snapshot.join("casual.wav")).unwrap();
    assert!(model.default_voice().unwrap().positions() > 10);
}

#[test]
fn an_exported_voice_equals_the_original() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("voice.safetensors");
    let model = TtsModel::builtin().unwrap();
    let recording = fixture("voice_24k.wav");
    let voice = model.voice(recording.to_str().unwrap()).unwrap();
    model.export_voice(&voice, &path).unwrap();
    let again = model.voice(path.to_str().unwrap()).unwrap();
    assert_eq!(
        (again.positions(), again.size_bytes()),
        (voice.positions(), voice.size_bytes())
    );
    let say = |voice| model.generate(voice, "Hi.", &seeded(1)).unwrap();
    assert!(say(&again) == say(&voice));
    let default = model.default_voice().unwrap();
    assert!(say(&default) != say(&voice));
}

#[test]
fn cloning_loads_the_encoder() {
    let model = TtsModel::builtin().unwrap();
    assert_eq!(model.info().size.encoder_bytes, None);
    let before = model.info();
    model
        .voice(fixture("voice_24k.wav").to_str().unwrap())
        .unwrap();
    let after = model.info();
    assert!(after.size.encoder_bytes > Some(0));
    assert_eq!(before.size.flow_lm_bytes, after.size.flow_lm_bytes);
}
