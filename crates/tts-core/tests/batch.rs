//! The batch size does not change the audio.

mod support;

use tts_core::text::TextError;
use tts_core::{Audio, Error, GenerateOptions, Model, SpeechRequest, Voice};

const MODEL: &str = "lsd";
/// Segments of different lengths.
const TEXT: &str = "One sentence is here. Two. Another one, which is longer, comes after it. This is the \
                    third of them. And then one more.";

/// Sentences are segments, or cut into several; speech ends where the model ends it.
fn options(batch_size: usize) -> GenerateOptions {
    GenerateOptions::default()
        .with_temperature(0.7)
        .with_seed(5)
        .with_max_tokens(12)
        .with_batch_size(batch_size)
}

fn request(model: &Model, voice: &Voice, text: &str, batch_size: usize) -> SpeechRequest {
    support::request(model, voice, text, &options(batch_size))
}

fn bits(audio: &Audio) -> Vec<u32> {
    let samples = audio.samples().iter();
    samples.map(|sample| sample.to_bits()).collect()
}

fn generate(model: &Model, voice: &Voice, text: &str, batch_size: usize) -> Vec<u32> {
    let audio = model.generate(request(model, voice, text, batch_size));
    bits(&audio.expect("speech is generated"))
}

#[test]
fn batch_size_does_not_change_the_audio() {
    let (model, voice) = support::model(MODEL);
    let single = generate(&model, &voice, TEXT, 1);
    let text = model.prepare(TEXT, &options(1)).unwrap();
    assert!(text.segment_count().unwrap() >= 5);
    for batch_size in [2, 3, 5, 64] {
        assert!(
            generate(&model, &voice, TEXT, batch_size) == single,
            "{batch_size}"
        );
    }
}

#[test]
fn batch_of_texts_equals_single_texts() {
    let (model, voice) = support::model(MODEL);
    let texts = ["Hello there.", TEXT, "A third text. With two segments."];
    for batch_size in [1, 3, 8] {
        let requests = texts.map(|text| request(&model, &voice, text, batch_size));
        let batch = model.generate_batch(requests.into());
        let batch = batch.expect("speech is generated");
        assert_eq!(batch.len(), texts.len());
        for (audio, text) in batch.iter().zip(texts) {
            let single = generate(&model, &voice, text, 1);
            assert!(bits(audio) == single, "{text} at batch size {batch_size}");
        }
    }
    assert!(model.generate_batch(Vec::new()).unwrap().is_empty());
}

#[test]
fn requests_of_a_batch_have_their_own_options() {
    let (model, voice) = support::model(MODEL);
    let with_seed = |seed| support::request(&model, &voice, "Hello.", &options(2).with_seed(seed));
    let batch = model.generate_batch(vec![with_seed(1), with_seed(2)]);
    let batch = batch.expect("speech is generated");
    for (audio, seed) in batch.iter().zip([1, 2]) {
        let single = model
            .generate(with_seed(seed))
            .expect("speech is generated");
        assert!(bits(audio) == bits(&single), "{seed}");
    }
    assert!(bits(&batch[0]) != bits(&batch[1]));
}

#[test]
fn requests_of_a_batch_must_have_the_same_solver_steps() {
    let (model, voice) = support::model(MODEL);
    let with_steps = |steps| {
        let options = options(2).with_sampler_decode_steps(steps);
        support::request(&model, &voice, "Hello.", &options)
    };
    let end = model
        .generate_batch(vec![with_steps(1), with_steps(2)])
        .unwrap_err();
    assert!(matches!(*end.error, Error::Setting(_)), "{}", end.error);
    assert_eq!(end.partial.len(), 2);
    assert!(end.partial.iter().all(|audio| audio.samples().is_empty()));
}

#[test]
fn text_of_another_model_is_rejected() {
    let (model, voice) = support::model(MODEL);
    let (other, _) = support::model(MODEL);
    let end = model
        .generate(request(&other, &voice, "Hello.", 1))
        .unwrap_err();
    assert!(
        matches!(*end.error, Error::Text(TextError::OtherModel)),
        "{}",
        end.error
    );
}

#[test]
fn stream_yields_the_chunks_of_a_batch_in_order() {
    let (model, voice) = support::model(MODEL);
    let mut joined = Vec::new();
    let stream = model.stream(request(&model, &voice, TEXT, 4));
    for chunk in stream.expect("the stream starts") {
        joined.extend(bits(&chunk.expect("speech is generated")));
    }
    assert!(joined == generate(&model, &voice, TEXT, 1));
}

#[test]
fn rejects_batch_sizes_out_of_range() {
    let (model, voice) = support::model(MODEL);
    let mut request = request(&model, &voice, TEXT, 1);
    for batch_size in [0, 65] {
        request.options.batch_size = Some(batch_size);
        let error = model.stream(request.clone()).unwrap_err();
        assert!(error.to_string().starts_with("batch-size is"), "{error}");
    }
}

#[test]
fn cancelled_batch_returns_its_state() {
    let (model, voice) = support::model(MODEL);
    for taken in 0..6 {
        let stream = model.stream(request(&model, &voice, TEXT, 3));
        let mut stream = stream.expect("the stream starts");
        for _ in 0..taken {
            stream.next();
        }
        stream.wait();
        assert_eq!(model.memory_pool().outstanding().len(), 0, "{taken}");
    }
}
