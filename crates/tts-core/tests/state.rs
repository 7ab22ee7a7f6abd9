//! What streams remember is leased from the model's pool and returned to it.

mod support;

use tensor_pool::MemoryPool;
use tts_core::GenerateOptions;

const MODEL: &str = "lsd";
/// Three parts, so that state is returned and leased again within one stream.
const TEXT: &str = "One sentence is here. Another one comes after it. This is the third of them.";

/// Whole speech of a fixed length: no part ends before its last frame.
fn options() -> GenerateOptions {
    GenerateOptions {
        seed: Some(1),
        max_tokens: 1,
        eos_threshold: Some(f32::INFINITY),
        ..GenerateOptions::default()
    }
}

fn in_use(pool: &MemoryPool) -> (u64, usize) {
    (pool.get_stats().in_use_bytes, pool.outstanding().len())
}

#[test]
fn a_stream_returns_its_state_when_it_ends_and_when_it_is_dropped() {
    let (model, voice) = support::model(MODEL);
    let pool = model.memory_pool();
    assert_eq!(in_use(pool), (0, 0));
    model.generate(&voice, TEXT, &options()).unwrap();
    assert_eq!(in_use(pool), (0, 0));
    for taken in 0..4 {
        let mut stream = model.stream(&voice, TEXT, &options()).unwrap();
        for _ in 0..taken {
            stream.next().unwrap().unwrap();
        }
        drop(stream);
        assert_eq!(in_use(pool), (0, 0), "dropped after {taken} chunks");
    }
}

#[test]
fn the_second_speech_leases_what_the_first_returned() {
    let (model, voice) = support::model(MODEL);
    let pool = model.memory_pool();
    model.generate(&voice, TEXT, &options()).unwrap();
    let first = pool.get_stats();
    assert!(first.hits > 0, "the later parts of the text leased anew");
    model.generate(&voice, TEXT, &options()).unwrap();
    let second = pool.get_stats();
    assert_eq!(second.allocations, first.allocations);
    assert_eq!(second.hits - first.hits, first.hits + first.misses);
    let dropped = second.dropped_changed + second.dropped_shared + second.dropped_full;
    assert_eq!(
        dropped, 0,
        "some state could not be leased again: {second:?}"
    );
}

#[test]
fn every_lease_has_a_name() {
    let (model, voice) = support::model(MODEL);
    let mut stream = model.stream(&voice, TEXT, &options()).unwrap();
    stream.next().unwrap().unwrap();
    let outstanding = model.memory_pool().outstanding();
    let has = |tag| outstanding.iter().any(|lease| lease.tag == tag);
    assert!(outstanding.iter().all(|lease| !lease.tag.is_empty()));
    for tag in ["keys and values", "attention window", "convolution history"] {
        assert!(has(tag), "{tag}");
    }
}

#[test]
fn audio_is_the_same_from_fresh_and_from_used_state() {
    let (model, voice) = support::model(MODEL);
    let bits = || -> Vec<u32> {
        let audio = model.generate(&voice, TEXT, &options()).unwrap();
        audio
            .samples()
            .iter()
            .map(|sample| sample.to_bits())
            .collect()
    };
    assert!(bits() == bits());
}
