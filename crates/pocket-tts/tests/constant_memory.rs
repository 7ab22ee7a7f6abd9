//! Memory does not grow with the length of speech, and a dropped stream releases everything. In a binary of
//! its own, because it counts every byte of the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leak_detect::{GrowthProbe, HeapSource, Verdict, set_heap_source};
use pocket_tts::memory::{
    PoolAllocator, Settings, get_cycle_detector, get_memory_ledger, get_memory_pool, init,
};
use pocket_tts::{GenerateOptions, LoadOptions, ModelSource, TtsModel, Voice};
use tensor_pool::PeakWindow;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// A segment of about six seconds.
const SEGMENT: &str = "The sun is on a hill and we go to it, for there is a tree, and under the tree a stone that is warm. ";

/// Length of the speech.
const HOUR: Duration = Duration::from_secs(3600);

/// Audio between two measurements of the peak.
const MINUTE: Duration = Duration::from_secs(60);

/// Bytes per chunk of audio. An hour has about 25,000 chunks, so this is 390 KiB per hour. A sample
/// includes the threads' current scratch, up to 2 MiB, so on a busy machine the slope is accurate to
/// 4 bytes.
const SMALLEST_LEAK_PER_CHUNK: f64 = 16.0;

/// Bytes per minute of audio: less than 1 MiB per hour. Peaks vary by several hundred KiB with the timing
/// of the threads, so on a busy machine the slope of 60 of them is accurate to 10 KiB. The bytes after
/// each chunk, which vary less, have the closer bound.
const SMALLEST_LEAK_PER_MINUTE: f64 = 16384.0;

/// Bytes per call. A leaked `Arc` is larger.
const SMALLEST_LEAK_PER_CALL: f64 = 16.0;

/// Accepted difference between streams: tables and queues that occasionally grow to their largest size.
/// Measured: usually 0, at most 1056 bytes.
const TABLES_BYTES: u64 = 8 << 10;

/// Streams after which these tables rarely grow.
const STREAMS_TO_WARM_UP: usize = 60;

/// Runs one test at a time: all of them count the process's bytes.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(ALLOCATOR.install());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load() -> (TtsModel, Voice) {
    // Each thread has buffers of its own; with more threads, some are first used late.
    let options = LoadOptions::default().with_threads(2);
    let model = TtsModel::load(ModelSource::BuiltIn, options).unwrap();
    let voice = model.default_voice().unwrap();
    (model, voice)
}

fn options() -> GenerateOptions {
    GenerateOptions::default().with_seed(1)
}

fn total() -> u64 {
    get_memory_ledger().counted().total()
}

/// Returns the counted bytes without idle tensors.
fn settled() -> u64 {
    get_memory_pool().trim(0);
    total()
}

/// Asserts that nothing grows by the smallest leak. One in two hundred constant series appears to grow
/// slightly; that is accepted.
fn assert_flat(probe: &GrowthProbe<'_>) {
    for growth in probe.verdicts() {
        println!("{growth}");
        let most = growth.slope.map_or(f64::INFINITY, |slope| slope.high);
        assert!(
            growth.verdict == Verdict::Clean || most < growth.smallest_leak,
            "{growth}"
        );
    }
}

#[test]
fn memory_is_constant_during_an_hour_of_speech() {
    let _alone = alone();
    let (model, voice) = load();
    let text = SEGMENT.repeat(700);
    let mut stream = model.stream(&voice, &text, &options()).unwrap();
    stream.next().unwrap().unwrap();
    let mut chunks = GrowthProbe::new()
        .source("counted after each chunk", total)
        .smallest_leak(SMALLEST_LEAK_PER_CHUNK);
    let mut minutes: Vec<u64> = Vec::with_capacity(120);
    let mut duration = Duration::ZERO;
    let mut window = PeakWindow::new();
    while duration < HOUR {
        let chunk = stream.next().expect("an hour of text").unwrap();
        duration += chunk.duration();
        drop(chunk);
        chunks.sample();
        if duration >= MINUTE * (minutes.len() as u32 + 1) {
            minutes.push(window.peak_bytes().unwrap());
            window = PeakWindow::new();
        }
    }
    drop(stream);
    let (first, most) = (minutes[0], minutes.iter().copied().max().unwrap_or(0));
    println!(
        "{} minutes; peak of the first {first}, highest {most}, last {}",
        minutes.len(),
        minutes.last().unwrap()
    );
    assert_flat(&chunks);
    let reading = std::cell::Cell::new(0);
    let mut peaks = GrowthProbe::new()
        .source("peak of each minute", || reading.get())
        .smallest_leak(SMALLEST_LEAK_PER_MINUTE);
    for minute in minutes {
        reading.set(minute);
        peaks.sample();
    }
    assert_flat(&peaks);
}

#[test]
fn a_thousand_short_generations_leak_nothing() {
    let _alone = alone();
    let (model, voice) = load();
    let mut probe = GrowthProbe::new()
        .source("counted after each call", total)
        .smallest_leak(SMALLEST_LEAK_PER_CALL);
    let options = options();
    let speak = || drop(model.generate(&voice, "No.", &options).unwrap());
    (0..20).for_each(|_| speak());
    let before = settled();
    for _ in 0..1000 {
        speak();
        probe.sample();
    }
    println!("settled: {before} before, {} after", settled());
    assert_flat(&probe);
}

/// Reads chunks until `frames` frames are decoded or the stream ends. Returns the decoded frames.
fn speak_and_cancel(
    model: &TtsModel,
    voice: &Voice,
    text: &str,
    options: &GenerateOptions,
    frames: usize,
) -> usize {
    let mut stream = model.stream(voice, text, options).unwrap();
    while stream.progress().frames < frames {
        match stream.next() {
            Some(chunk) => drop(chunk.unwrap()),
            None => break,
        }
    }
    let decoded = stream.progress().frames;
    // A dropped stream releases its memory a little later.
    stream.wait();
    decoded
}

#[test]
fn a_stream_cancelled_at_any_frame_releases_everything() {
    let _alone = alone();
    let (model, voice) = load();
    let pool = get_memory_pool();
    set_heap_source(HeapSource {
        live_bytes: settled,
        peak_of: |_| 0,
    });
    let texts = [
        ("One. Two.", options()),
        (
            "One. Two. Three. Four.",
            options().with_batch_size(3).with_max_tokens(4),
        ),
    ];
    for (text, options) in texts {
        let all = speak_and_cancel(&model, &voice, text, &options, usize::MAX);
        assert!(all > 20, "{all} frames are too few");
        for index in 0..STREAMS_TO_WARM_UP {
            speak_and_cancel(&model, &voice, text, &options, index % (all + 1));
        }
        let mut baseline = None;
        let mut largest = 0;
        leak_detect::assert_no_growth!(0, all as u32 + 1, |frame| {
            speak_and_cancel(&model, &voice, text, &options, frame as usize);
            assert!(pool.outstanding().is_empty(), "cancelled at frame {frame}");
            assert_eq!(
                get_memory_ledger().reserved_bytes(),
                0,
                "cancelled at frame {frame}"
            );
            let after = settled();
            let baseline = *baseline.get_or_insert(after);
            largest = largest.max(after.abs_diff(baseline));
            assert!(
                after.abs_diff(baseline) <= TABLES_BYTES,
                "cancelled at frame {frame}: {after} bytes, {baseline} before"
            );
        });
        println!("{all} frames; at most {largest} bytes from the baseline of {baseline:?}");
    }
}

#[test]
fn the_engine_has_no_reference_cycles() {
    let _alone = alone();
    let (model, voice) = load();
    let folder = tempfile::tempdir().unwrap();
    let session = init(Settings::default().with_profiling_to(folder.path())).unwrap();
    let other = model.voice("slt").unwrap();
    let request = |voice| model.request(voice, "One. Two.", &options()).unwrap();
    let requests = vec![request(&voice), request(&other)];
    drop(other);
    model.generate_batch(requests.clone()).unwrap();
    for frames in [0, 3, usize::MAX] {
        speak_and_cancel(&model, &voice, "One. Two.", &options(), frames);
    }
    let detector = get_cycle_detector();
    println!("{} objects", detector.get_tracked_count());
    assert!(
        detector.get_tracked_count() >= 3,
        "the model, its voice and the session"
    );
    assert_eq!(detector.detect_cycles(), 0, "{}", detector.report());
    drop((model, voice, requests));
    session.finish().unwrap();
    assert_eq!(detector.detect_cycles(), 0, "{}", detector.report());
    assert_eq!(
        detector.get_tracked_count(),
        0,
        "an object is not dropped: {}",
        detector.report()
    );
}
