//! Parts of texts that are spoken at once say what they say alone.

mod support;

use tts_core::{Audio, GenerateOptions, Model, SpeechRequest, Voice};

const MODEL: &str = "lsd";
/// Parts of different lengths.
const TEXT: &str = "One sentence is here. Two. Another one, which is longer, comes after it. This is the \
                    third of them. And then one more.";

/// Each sentence is a part; speech ends where the model ends it.
fn options(batch_size: usize) -> GenerateOptions {
    GenerateOptions {
        temperature: Some(0.7),
        seed: Some(5),
        max_tokens: 1,
        batch_size: Some(batch_size),
        ..GenerateOptions::default()
    }
}

fn bits(audio: &Audio) -> Vec<u32> {
    let samples = audio.samples().iter();
    samples.map(|sample| sample.to_bits()).collect()
}

fn speak(model: &Model, voice: &Voice, text: &str, batch_size: usize) -> Vec<u32> {
    let audio = model.generate(voice, text, &options(batch_size));
    bits(&audio.expect("it speaks"))
}

#[test]
fn a_text_sounds_the_same_whatever_the_batch_size() {
    let (model, voice) = support::model(MODEL);
    let alone = speak(&model, &voice, TEXT, 1);
    assert!(model.parts(TEXT, &options(1)).unwrap().len() >= 5);
    for batch_size in [2, 3, 5, 64] {
        assert!(
            speak(&model, &voice, TEXT, batch_size) == alone,
            "{batch_size}"
        );
    }
}

#[test]
fn a_batch_of_texts_sounds_as_each_does_alone() {
    let (model, voice) = support::model(MODEL);
    let texts = ["Hello there.", TEXT, "A third text. With two parts."];
    let requests = texts.map(|text| SpeechRequest {
        voice: voice.clone(),
        text: text.to_owned(),
    });
    for batch_size in [1, 3, 8] {
        let together = model
            .generate_batch(&requests, &options(batch_size), None)
            .expect("they speak");
        assert_eq!(together.len(), texts.len());
        for (audio, text) in together.iter().zip(texts) {
            let alone = speak(&model, &voice, text, 1);
            assert!(bits(audio) == alone, "{text} in a batch of {batch_size}");
        }
    }
    let nothing = model.generate_batch(&[], &options(2), None);
    assert!(nothing.expect("nothing is nothing to do").is_empty());
}

#[test]
fn a_bad_text_of_a_batch_is_told_before_any_is_spoken() {
    let (model, voice) = support::model(MODEL);
    let requests = ["Hello.", "..."].map(|text| SpeechRequest {
        voice: voice.clone(),
        text: text.to_owned(),
    });
    let error = model.generate_batch(&requests, &options(2), None);
    assert!(
        matches!(error, Err(tts_core::Error::EmptyText)),
        "{error:?}"
    );
}

#[test]
fn a_stream_in_a_batch_gives_its_text_in_order() {
    let (model, voice) = support::model(MODEL);
    let mut joined = Vec::new();
    for chunk in model.stream(&voice, TEXT, &options(4)).expect("it starts") {
        joined.extend(bits(&chunk.expect("it speaks")));
    }
    assert!(joined == speak(&model, &voice, TEXT, 1));
}

#[test]
fn batch_sizes_that_are_none_are_refused() {
    let (model, voice) = support::model(MODEL);
    for batch_size in [0, 65] {
        let error = model
            .stream(&voice, TEXT, &options(batch_size))
            .unwrap_err();
        assert!(error.to_string().starts_with("batch-size is"), "{error}");
    }
}

#[test]
fn a_batch_that_is_dropped_midway_returns_its_state() {
    let (model, voice) = support::model(MODEL);
    for taken in 0..6 {
        let mut stream = model.stream(&voice, TEXT, &options(3)).expect("it starts");
        for _ in 0..taken {
            stream.next();
        }
        drop(stream);
        assert_eq!(model.memory_pool().outstanding().len(), 0, "{taken}");
    }
}
