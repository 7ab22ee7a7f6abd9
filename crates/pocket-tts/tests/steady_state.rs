//! After warm-up, a stream makes no large system allocations. In a binary of its own, because it observes
//! every allocation of the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pocket_tts::memory::{PoolAllocator, get_memory_pool};
use pocket_tts::{DeviceKind, GenerateOptions, LoadOptions, ModelSource, TtsModel, Voice};
use tensor_pool::{minor_faults, seal_process};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Observed frames: 16 s of speech.
const FRAMES: usize = 200;

/// Frames after which the reader pauses during warm-up.
const FRAMES_OF_PAUSES: usize = 20;

/// A text of one segment, longer than the observed frames.
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog, who has seen it all \
before, yawns, turns around twice, lies down again in the warm grass beside the old stone wall, and \
dreams of a day on which no fox comes by, no bird sings, and no animal at all jumps over anything.";

/// Streams of which one must make no large allocation.
const MAX_STREAMS: usize = 5;

/// Observed generations and streams, which lease several thousand tensors.
const RUNS: usize = 30;

/// Lowest accepted share of leases served by idle tensors.
const MIN_HIT_RATE: f64 = 0.999;

/// Runs one test at a time: both observe the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(ALLOCATOR.install());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load() -> TtsModel {
    let options = LoadOptions::default().with_device(DeviceKind::Flex);
    TtsModel::load(ModelSource::BuiltIn, options).unwrap()
}

/// Observes the frames of a stream. Describes the allocations and page faults if there are too many.
fn observe(model: &TtsModel, voice: &Voice, options: &GenerateOptions) -> Result<(), String> {
    let mut stream = model.stream(voice, TEXT, options).unwrap();
    stream.next().unwrap().unwrap();
    let before = stream.progress().frames;
    let allocations = || model.memory_pool().get_stats().allocations;
    let allocations_before = allocations();
    let (faults_before, seal) = (minor_faults(), seal_process());
    while stream.progress().frames < before + FRAMES {
        stream.next().unwrap().unwrap();
    }
    let report = seal.report().unwrap();
    let faults = faults_before.zip(minor_faults());
    let faults = faults.map_or(0, |(before, after)| after - before);
    println!("{faults} page faults in {FRAMES} frames");
    let pool = allocations() - allocations_before;
    if report.is_empty() && pool == 0 && faults < FRAMES as u64 {
        return Ok(());
    }
    Err(format!(
        "{report}; {pool} allocations of the pool; {faults} page faults"
    ))
}

#[test]
fn a_warm_stream_makes_no_large_allocations_and_few_page_faults() {
    let _alone = alone();
    let model = load();
    let voice = model.default_voice().unwrap();
    let options = GenerateOptions::default()
        .with_seed(1)
        .with_max_tokens(1000)
        .with_eos_threshold(f32::INFINITY);
    // Warm-up covers both extremes: audio read frame by frame, and a full queue that is decoded in the
    // largest pieces after a pause.
    for pause in [Duration::ZERO, Duration::from_millis(500)] {
        let mut stream = model.stream(&voice, TEXT, &options).unwrap();
        while let Some(chunk) = stream.next() {
            chunk.unwrap();
            if stream.progress().frames < FRAMES_OF_PAUSES {
                std::thread::sleep(pause);
            }
        }
    }

    // Threads that the system interrupts can still meet a new combination of blocks in use. Each stream
    // retains what it allocates, so soon one needs nothing more.
    let mut observed = observe(&model, &voice, &options);
    for _ in 1..MAX_STREAMS {
        if observed.is_ok() {
            break;
        }
        observed = observe(&model, &voice, &options);
    }
    observed.unwrap();

    let seal = seal_process();
    // The seal detects a large allocation: no idle block is this large.
    drop(vec![1_u8; 30 << 20]);
    assert_eq!(seal.report().unwrap().count, 1);
}

#[test]
fn idle_tensors_serve_nearly_all_leases() {
    let _alone = alone();
    let model = load();
    let voice = model.default_voice().unwrap();
    let options = GenerateOptions::default()
        .with_seed(1)
        .with_max_tokens(10)
        .with_batch_size(3);
    // The batch needs the most pages at once; each text alone needs fewer.
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
    (0..RUNS).for_each(speak);
    let after = get_memory_pool().get_stats();
    let hits = after.hits - before.hits;
    let leases = hits + after.misses - before.misses;
    println!("{hits} of {leases} leases");
    // The accepted rate of misses is one in a thousand, so there must be thousands of leases.
    assert!(leases > 2000, "{leases} leases");
    assert!(
        hits as f64 >= MIN_HIT_RATE * leases as f64,
        "{hits} of {leases} leases were hits"
    );
}
