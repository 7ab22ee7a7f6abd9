//! Fixture models, loaded through the public API.

use std::path::{Path, PathBuf};

use tts_core::text::Tokenizer;
use tts_core::{
    Config, GenerateOptions, Model, ModelParts, RunOptions, SpeechRequest, Voice, Weights,
};

/// A path below the recorded values.
pub fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/parity")
        .join(file)
}

/// The files of a config in `folder`.
pub fn parts(config: Config, folder: &Path) -> ModelParts {
    let local = |file: &str| folder.join(file);
    let table = &config.flow_lm.lookup_table;
    let path = local(&table.tokenizer_path);
    let bytes = std::fs::read(&path).expect("the tokenizer is readable");
    let tokenizer = Tokenizer::from_bytes(table.tokenizer, &bytes, &path).expect("it is valid");
    let weights = local(config.weights_path.as_ref().expect("weights are named"));
    ModelParts {
        weights: Weights::open(&weights).expect("the weights are readable"),
        tokenizer: tokenizer.into(),
        no_voice_cloning: None,
        config,
    }
}

/// Loads a fixture model and its recorded voice.
#[allow(dead_code, reason = "not every test binary uses all of this module")]
pub fn model(name: &str) -> (Model, Voice) {
    let config = Config::read(fixture(name).join("config.yaml")).expect("the config is valid");
    let parts = parts(config, &fixture(name));
    let model = Model::load(parts, RunOptions::default()).expect("the model loads");
    let voice = model
        .load_voice(fixture(name).join("voice.safetensors"))
        .expect("the voice loads");
    (model, voice)
}

/// A request for a text that the model can speak.
#[allow(
    dead_code,
    reason = "each test binary uses its own part of this module"
)]
pub fn request(
    model: &Model,
    voice: &Voice,
    text: &str,
    options: &GenerateOptions,
) -> SpeechRequest {
    let text = model.prepare(text, options).expect("the text is valid");
    SpeechRequest::new(voice.clone(), text, options.clone())
}
