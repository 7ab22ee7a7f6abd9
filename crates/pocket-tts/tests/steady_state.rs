//! Once it is warm, a stream asks the system for nothing. In a binary of its own, because it
//! watches every allocation of the process.

use std::time::Duration;

use pocket_tts::memory::PoolAllocator;
use pocket_tts::{GenerateOptions, TtsModel};
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

#[test]
fn two_hundred_frames_of_a_warm_stream_make_no_large_request_and_hardly_a_page_fault() {
    assert!(ALLOCATOR.install());
    let model = TtsModel::builtin().unwrap();
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
        assert!(faults < FRAMES as u64, "{faults} page faults");
    }

    // That the seal sees what it is there for: no shelf holds a block as large as this.
    drop(vec![1_u8; 30 << 20]);
    assert_eq!(seal.report().unwrap().count, 1);
}
