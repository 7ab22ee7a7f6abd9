//! Generation of whole texts.

use super::compare;
use super::fixture::{Fixture, for_all_models};
use crate::DeviceKind;
use crate::audio::Audio;
use crate::options::GenerateOptions;
use crate::stream::SpeechRequest;

fn generate(fixture: &Fixture, text: &str, options: &GenerateOptions) -> Audio {
    let text = fixture.model.prepare(text, options);
    let text = text.expect("the text is valid");
    let request = SpeechRequest::new(fixture.voice(), text, options.clone());
    fixture
        .model
        .generate(request)
        .expect("speech is generated")
}

fn recorded_options(fixture: &Fixture) -> GenerateOptions {
    let golden = &fixture.golden;
    GenerateOptions {
        temperature: Some(golden.generate.temperature),
        eos_threshold: Some(golden.generate.eos_threshold),
        sampler_decode_steps: golden.sampler_decode_steps,
        max_tokens: golden.generate.max_tokens,
        ..Default::default()
    }
}

#[test]
fn generated_audio_equals_the_reference() {
    for_all_models(|fixture| {
        let text = &fixture.golden.generate.text;
        let audio = generate(fixture, text, &recorded_options(fixture));
        assert_eq!(audio.samples().len(), fixture.golden.generate.samples);
        let head = fixture.recorded("generate.audio_head");
        let what = format!("{} generate.audio_head", fixture.name);
        compare::audio(&what, fixture.device, &audio.samples()[..head.len()], &head);
    });
}

/// Generates audio with noise. Returns the bits of its samples.
fn generate_bits(fixture: &Fixture, seed: u64) -> Vec<u32> {
    let options = GenerateOptions {
        temperature: Some(0.7),
        noise_clamp: Some(2.0),
        seed: Some(seed),
        max_tokens: 12,
        ..recorded_options(fixture)
    };
    let text = "hello world. this is one voice.";
    let samples = generate(fixture, text, &options).into_samples();
    samples.into_iter().map(f32::to_bits).collect()
}

#[test]
fn audio_depends_on_the_seed_but_not_on_the_thread_count() {
    if !DeviceKind::Flex.is_built_in() {
        return;
    }
    for name in ["lsd", "small_pointwise"] {
        let first = generate_bits(&Fixture::load_with(name, DeviceKind::Flex, Some(1)), 7);
        for threads in [1, 2, 3, 8] {
            let fixture = Fixture::load_with(name, DeviceKind::Flex, Some(threads));
            assert!(
                generate_bits(&fixture, 7) == first,
                "{name}, {threads} threads"
            );
            assert!(
                generate_bits(&fixture, 8) != first,
                "{name}: the seed is ignored"
            );
        }
    }
}

#[test]
fn concurrent_streams_give_the_same_bits_as_single_streams() {
    if !DeviceKind::Flex.is_built_in() {
        return;
    }
    let fixture = &Fixture::load("lsd", DeviceKind::Flex);
    let alone: Vec<_> = (0..4).map(|seed| generate_bits(fixture, seed)).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|seed| scope.spawn(move || generate_bits(fixture, seed)))
            .collect();
        for (thread, alone) in threads.into_iter().zip(&alone) {
            assert!(&thread.join().expect("generation succeeds") == alone);
        }
    });
}
