//! Once it is warm, a stream asks the system for nothing. In a binary of its own, because it
//! watches every allocation of the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pocket_tts::memory::{PoolAllocator, get_memory_pool};
use pocket_tts::{DeviceKind, GenerateOptions, LoadOptions, ModelSource, TtsModel};
use tensor_pool::{minor_faults, seal_process};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Frames that are watched: 16 s of speech.
const FRAMES: usize = 200;

/// Frames of a speech between which audio is not taken for a while: a few pauses.
const FRAMES_OF_PAUSES: usize = 20;

/// Longer than what is watched, in one part.
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog, who has seen it all \
before, yawns, turns around twice, lies down again in the warm grass beside the old stone wall, and \
dreams of a day on which no fox comes by, no bird sings, and nobody at all jumps over anything.";

/// Speeches that are watched for what they lease: some thousand tensors.
const SPEECHES: usize = 30;

/// Least share of leases that idle tensors serve.
const LEAST_HITS: f64 = 0.999;

/// One test at a time: both watch the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(ALLOCATOR.install());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load() -> TtsModel {
    let options = LoadOptions {
        device: DeviceKind::Flex,
        ..LoadOptions::default()
    };
    TtsModel::load(ModelSource::BuiltIn, options).unwrap()
}

#[test]
fn two_hundred_frames_of_a_warm_stream_make_no_large_request_and_hardly_a_page_fault() {
    let _alone = alone();
    let model = load();
    let voice = model.default_voice().unwrap();
    let options = GenerateOptions {
        seed: Some(1),
        max_tokens: 1000,
        eos_threshold: Some(f32::INFINITY),
        ..GenerateOptions::default()
    };
    // Warm is what has met both extremes: audio taken as it comes, frame by frame, and a queue of
    // frames that are decoded in the largest pieces because nobody took any for a while.
    for pause in [Duration::ZERO, Duration::from_millis(500)] {
        let mut stream = model.stream(&voice, TEXT, &options).unwrap();
        while let Some(chunk) = stream.next() {
            chunk.unwrap();
            if stream.progress().frames < FRAMES_OF_PAUSES {
                std::thread::sleep(pause);
            }
        }
    }

    let mut stream = model.stream(&voice, TEXT, &options).unwrap();
    stream.next().unwrap().unwrap();
    let before = stream.progress().frames;
    let made = || model.memory_pool().get_stats().allocations;
    let made_before = made();
    let (faults_before, seal) = (minor_faults(), seal_process());
    while stream.progress().frames < before + FRAMES {
        stream.next().unwrap().unwrap();
    }
    let report = seal.report().unwrap();
    let faults = faults_before.zip(minor_faults());
    assert!(report.is_empty(), "{report}");
    assert_eq!(made(), made_before, "state was leased anew");
    if let Some((before, after)) = faults {
        let faults = after - before;
        println!("{faults} page faults in {FRAMES} frames");
        assert!(faults < FRAMES as u64, "{faults} page faults");
    }

    // That the seal sees what it is there for: no shelf holds a block as large as this.
    drop(vec![1_u8; 30 << 20]);
    assert_eq!(seal.report().unwrap().count, 1);
}

#[test]
fn what_speech_leases_is_there_already() {
    let _alone = alone();
    let model = load();
    let voice = model.default_voice().unwrap();
    let options = GenerateOptions {
        seed: Some(1),
        max_tokens: 10,
        batch_size: Some(3),
        ..GenerateOptions::default()
    };
    // As long as each other in a batch, and each alone: the most pages at once are those of the batch.
    let texts = ["One. Two.", "Three, four, five, six, seven.", "Eight."];
    let requests = texts.map(|text| model.request(&voice, text, &options).unwrap());
    let speak = |index: usize| {
        if index.is_multiple_of(2) {
            model.generate_batch(requests.to_vec()).unwrap();
        } else {
            let stream = model.stream(&voice, texts[index % 3], &options).unwrap();
            stream.for_each(|chunk| drop(chunk.unwrap()));
        }
    };
    (0..4).for_each(speak);
    let before = get_memory_pool().get_stats();
    (0..SPEECHES).for_each(speak);
    let after = get_memory_pool().get_stats();
    let hits = after.hits - before.hits;
    let leases = hits + after.misses - before.misses;
    println!("{hits} of {leases} leases");
    // One miss is allowed to a thousand, so there must be thousands.
    assert!(leases > 2000, "{leases} leases");
    assert!(
        hits as f64 >= LEAST_HITS * leases as f64,
        "{hits} of {leases} leases were hits"
    );
}
