//! The state of streams is leased from the model's pool and returned to it.

mod support;

use tensor_pool::MemoryPool;
use tts_core::GenerateOptions;

const MODEL: &str = "lsd";
/// Three segments, so that state is returned and leased again within one stream.
const TEXT: &str = "One sentence is here. Another one comes after it. This is the third of them.";

/// Speech of the maximum length: no segment ends before its last frame.
fn options() -> GenerateOptions {
    GenerateOptions::default()
        .with_seed(1)
        .with_max_tokens(22)
        .with_eos_threshold(f32::INFINITY)
}

fn in_use(pool: &MemoryPool) -> (u64, usize) {
    (pool.get_stats().in_use_bytes, pool.outstanding().len())
}

#[test]
fn stream_returns_its_state_at_its_end_and_when_cancelled() {
    let (model, voice) = support::model(MODEL);
    let pool = model.memory_pool();
    assert_eq!(in_use(pool), (0, 0));
    model
        .generate(support::request(&model, &voice, TEXT, &options()))
        .unwrap();
    assert_eq!(in_use(pool), (0, 0));
    for taken in 0..4 {
        let mut stream = model
            .stream(support::request(&model, &voice, TEXT, &options()))
            .unwrap();
        for _ in 0..taken {
            stream.next().unwrap().unwrap();
        }
        stream.wait();
        assert_eq!(in_use(pool), (0, 0), "cancelled after {taken} chunks");
    }
}

#[test]
fn second_stream_reuses_the_state_of_the_first() {
    let (model, voice) = support::model(MODEL);
    let pool = model.memory_pool();
    model
        .generate(support::request(&model, &voice, TEXT, &options()))
        .unwrap();
    let first = pool.get_stats();
    assert!(first.hits > 0, "later segments allocated new state");
    model
        .generate(support::request(&model, &voice, TEXT, &options()))
        .unwrap();
    let second = pool.get_stats();
    assert_eq!(second.allocations, first.allocations);
    assert_eq!(second.hits - first.hits, first.hits + first.misses);
    let dropped = second.dropped_changed + second.dropped_shared + second.dropped_full;
    assert_eq!(dropped, 0, "some state could not be reused: {second:?}");
}

#[test]
fn every_lease_has_a_tag() {
    let (model, voice) = support::model(MODEL);
    let mut stream = model
        .stream(support::request(&model, &voice, TEXT, &options()))
        .unwrap();
    stream.next().unwrap().unwrap();
    let outstanding = model.memory_pool().outstanding();
    let has = |tag| outstanding.iter().any(|lease| lease.tag == tag);
    assert!(outstanding.iter().all(|lease| !lease.tag.is_empty()));
    for tag in ["KV cache", "attention window", "convolution history"] {
        assert!(has(tag), "{tag}");
    }
}

#[test]
fn audio_is_the_same_with_new_and_reused_state() {
    let (model, voice) = support::model(MODEL);
    let bits = || -> Vec<u32> {
        let audio = model
            .generate(support::request(&model, &voice, TEXT, &options()))
            .unwrap();
        audio
            .samples()
            .iter()
            .map(|sample| sample.to_bits())
            .collect()
    };
    assert!(bits() == bits());
}
