//! Stream state is leased from the model's pool and returned to it.

mod support;

use tensor_pool::{Bytes, MemoryPool};
use tts_core::GenerateOptions;

const MODEL: &str = "lsd";
/// Three segments, so state is returned and leased again within one stream.
const TEXT: &str = "One sentence is here. Another one comes after it. This is the third of them.";

/// Options for speech of a fixed length: every segment has its maximal number of frames.
fn options() -> GenerateOptions {
    GenerateOptions {
        seed: Some(1),
        max_tokens: 1,
        eos_threshold: Some(f32::INFINITY),
        ..GenerateOptions::default()
    }
}

fn in_use(pool: &MemoryPool) -> (Bytes, usize) {
    (pool.get_stats().bytes_in_use, pool.outstanding().len())
}

#[test]
fn streams_return_their_state_when_they_end_or_are_dropped() {
    let (model, voice) = support::model(MODEL);
    let pool = model.memory_pool();
    assert_eq!(in_use(pool), (Bytes(0), 0));
    model.generate(&voice, TEXT, &options()).unwrap();
    assert_eq!(in_use(pool), (Bytes(0), 0));
    for count in 0..4 {
        let mut stream = model.stream(&voice, TEXT, &options()).unwrap();
        for _ in 0..count {
            stream.next().unwrap().unwrap();
        }
        drop(stream);
        assert_eq!(in_use(pool), (Bytes(0), 0), "dropped after {count} chunks");
    }
}

#[test]
fn later_streams_reuse_the_state_of_earlier_ones() {
    let (model, voice) = support::model(MODEL);
    let pool = model.memory_pool();
    model.generate(&voice, TEXT, &options()).unwrap();
    let first = pool.get_stats();
    assert!(first.hits > 0, "later segments did not reuse state");
    model.generate(&voice, TEXT, &options()).unwrap();
    let second = pool.get_stats();
    assert_eq!(second.allocations, first.allocations);
    assert_eq!(second.hits - first.hits, first.hits + first.misses);
    let dropped = second.dropped_changed + second.dropped_shared + second.dropped_full;
    assert_eq!(dropped, 0, "some state was not reusable: {second:?}");
}

#[test]
fn all_leases_have_tags() {
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
fn audio_does_not_depend_on_reused_state() {
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
