//! How often a text is tokenized.

use std::path::Path;

use super::{SpeechRequest, SpeechStream};
use crate::config::Config;
use crate::engine::{ModelParts, RunOptions};
use crate::model::Model;
use crate::options::GenerateOptions;
use crate::text::{PreparedText, Tokenizer};
use crate::voice::Voice;
use crate::weights::Weights;

fn model() -> (Model, Voice) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    let config = Config::read(folder.join("lsd/config.yaml")).unwrap();
    let path = folder.join("tokenizer.model");
    let bytes = std::fs::read(&path).unwrap();
    let format = config.flow_lm.lookup_table.tokenizer;
    let parts = ModelParts {
        config,
        weights: Weights::open(folder.join("lsd/model.safetensors")).unwrap(),
        tokenizer: Tokenizer::from_bytes(format, &bytes, &path).unwrap(),
        no_voice_cloning: None,
    };
    let model = Model::load(parts, RunOptions::default()).unwrap();
    let voice = model
        .load_voice(folder.join("lsd/voice.safetensors"))
        .unwrap();
    (model, voice)
}

/// Speech of the maximum length.
fn options() -> GenerateOptions {
    GenerateOptions::default()
        .with_eos_threshold(f32::INFINITY)
        .with_max_tokens(12)
        .with_seed(1)
}

/// A request within a limit that is not exceeded.
fn request(model: &Model, voice: &Voice, text: &PreparedText) -> SpeechRequest {
    let limit = model.ledger().present_bytes() + (1 << 30);
    SpeechRequest::new(voice.clone(), text.clone(), options()).with_memory_limit_bytes(limit)
}

fn read_to_end(stream: SpeechStream) -> usize {
    stream.map(|chunk| chunk.unwrap().samples().len()).sum()
}

#[test]
fn prepared_text_is_not_tokenized_again() {
    let (model, voice) = model();
    let tokenizer = &model.engine.tokenizer;
    tokenizer.take_work();
    let text = "Hello world, this is one voice. ".repeat(4);
    let text = model.prepare(&text, &options()).unwrap();
    let tokens: usize = text
        .segments()
        .unwrap()
        .map(|segment| segment.unwrap().tokens.len())
        .sum();
    let work = tokenizer.take_work();
    // Cutting encodes and decodes the whole text, cuts its long sentences again, and encodes each segment.
    assert!(
        (tokens..8 * tokens).contains(&work),
        "{work} for {tokens} tokens"
    );

    let request = || request(&model, &voice, &text);
    let samples = model.generate(request()).unwrap().samples().len();
    assert_eq!(read_to_end(model.stream(request()).unwrap()), samples);
    model.generate_batch(vec![request(), request()]).unwrap();
    assert_eq!(tokenizer.take_work(), 0);
}

#[test]
fn long_text_is_tokenized_only_as_far_as_it_is_spoken() {
    let (model, voice) = model();
    let tokenizer = &model.engine.tokenizer;
    let text = "Hello world, this is one voice. ".repeat((5 << 20) / 32);
    tokenizer.take_work();
    let text = model.prepare(&text, &options()).unwrap();
    assert_eq!(tokenizer.take_work(), 0);
    for is_limited in [true, false] {
        let mut request = request(&model, &voice, &text);
        if !is_limited {
            request.memory_limit_bytes = None;
        }
        let mut stream = model.stream(request).unwrap();
        stream.next().unwrap().unwrap();
        stream.wait();
        // A few segments of about 10 tokens: the first one, and those that the generator starts until the
        // stream is cancelled.
        let work = tokenizer.take_work();
        assert!((1..2000).contains(&work), "{work} tokens");
    }
}
