//! Memory stays the same however long the program speaks, and a stream leaves nothing behind wherever it
//! is dropped. In a binary of its own, because it counts every byte of the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leak_detect::{GrowthProbe, HeapSource, Verdict, set_heap_source};
use pocket_tts::memory::{PoolAllocator, Settings, get_cycle_detector, get_memory_pool, init};
use pocket_tts::{GenerateOptions, LoadOptions, ModelSource, SpeechRequest, TtsModel, Voice};
use tensor_pool::PeakWindow;
use tts_core::memory::{counted, reserved};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Words in chunks of about six seconds.
const CHUNK: &str = "The sun is on a hill and we go to it, for there is a tree, and under the tree a stone that is warm. ";

/// How long speech goes on.
const HOUR: Duration = Duration::from_secs(3600);

/// Audio between two readings of the peak.
const MINUTE: Duration = Duration::from_secs(60);

/// Bytes per chunk of audio, of which an hour has about 25,000: 390 KiB in an hour. A reading has in it what
/// the threads happen to compute in, up to 2 MiB, so that on a busy machine a slope is known to within
/// 4 bytes.
const SMALLEST_LEAK_PER_CHUNK: f64 = 16.0;

/// Bytes per minute of audio: 240 KiB in an hour. Peaks scatter by a hundred KiB, with what the threads
/// happen to do at once.
const SMALLEST_LEAK_PER_MINUTE: f64 = 4096.0;

/// Bytes per call. An `Arc` that is forgotten has more.
const SMALLEST_LEAK_PER_CALL: f64 = 16.0;

/// What may be larger after a stream than after another: tables and queues that grow now and then, to the
/// most that they ever held. Seen: none of it most often, 1056 bytes at once.
const TABLES: u64 = 8 << 10;

/// Streams after which those hardly grow any more.
const STREAMS_TO_WARM_UP: usize = 60;

/// One test at a time: all of them count the process's bytes.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(ALLOCATOR.install());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load() -> (TtsModel, Voice) {
    let options = LoadOptions {
        // Each thread keeps buffers of its own, and with more of them some would first be used late.
        threads: Some(2),
        ..LoadOptions::default()
    };
    let model = TtsModel::load(ModelSource::BuiltIn, options).unwrap();
    let voice = model.default_voice().unwrap();
    (model, voice)
}

fn options() -> GenerateOptions {
    GenerateOptions {
        seed: Some(1),
        ..GenerateOptions::default()
    }
}

fn total() -> u64 {
    counted(&get_memory_pool()).total()
}

/// What is counted while nothing is idle.
fn settled() -> u64 {
    get_memory_pool().trim(0);
    total()
}

/// That nothing grows by as much as the smallest leak. Of two hundred series that do not grow, one seems to
/// by a little; that is allowed.
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
fn an_hour_of_speech_takes_no_more_than_its_first_chunk() {
    let _alone = alone();
    let (model, voice) = load();
    let text = CHUNK.repeat(700);
    let mut stream = model.stream(&voice, &text, &options()).unwrap();
    stream.next().unwrap().unwrap();
    let mut chunks = GrowthProbe::new()
        .source("counted after each chunk", total)
        .smallest_leak(SMALLEST_LEAK_PER_CHUNK);
    let mut minutes: Vec<u64> = Vec::with_capacity(120);
    let mut spoken = Duration::ZERO;
    let mut window = PeakWindow::new();
    while spoken < HOUR {
        let chunk = stream.next().expect("an hour of text").unwrap();
        spoken += chunk.duration();
        drop(chunk);
        chunks.sample();
        if spoken >= MINUTE * (minutes.len() as u32 + 1) {
            minutes.push(window.peak_bytes().unwrap());
            window = PeakWindow::new();
        }
    }
    drop(stream);
    let (first, most) = (minutes[0], minutes.iter().copied().max().unwrap_or(0));
    println!(
        "{} minutes; peak of the first {first}, of the highest {most}, of the last {}",
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
fn a_thousand_short_speeches_leave_nothing_behind() {
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

/// Takes chunks until so many frames were decoded, or all.
fn speak_and_drop(
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
    stream.progress().frames
}

#[test]
fn a_stream_that_is_dropped_at_any_frame_gives_everything_back() {
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
            GenerateOptions {
                batch_size: Some(3),
                max_tokens: 4,
                ..options()
            },
        ),
    ];
    for (text, options) in texts {
        let all = speak_and_drop(&model, &voice, text, &options, usize::MAX);
        assert!(all > 20, "{all} frames are too few to be dropped between");
        for index in 0..STREAMS_TO_WARM_UP {
            speak_and_drop(&model, &voice, text, &options, index % (all + 1));
        }
        let mut baseline = None;
        let mut furthest = 0;
        leak_detect::assert_no_growth!(0, all as u32 + 1, |frame| {
            speak_and_drop(&model, &voice, text, &options, frame as usize);
            assert!(pool.outstanding().is_empty(), "dropped at frame {frame}");
            assert_eq!(reserved(), 0, "dropped at frame {frame}");
            let after = settled();
            let baseline = *baseline.get_or_insert(after);
            furthest = furthest.max(after.abs_diff(baseline));
            assert!(
                after.abs_diff(baseline) <= TABLES,
                "dropped at frame {frame}: {after} bytes, {baseline} before"
            );
        });
        println!("{all} frames; at most {furthest} bytes from the baseline of {baseline:?}");
    }
}

#[test]
fn the_engine_makes_no_reference_cycles() {
    let _alone = alone();
    let (model, voice) = load();
    let folder = tempfile::tempdir().unwrap();
    let session = init(Settings::default().with_profiling_to(folder.path())).unwrap();
    let other = model.voice("slt").unwrap();
    let requests = [voice.clone(), other].map(|voice| SpeechRequest {
        voice,
        text: "One. Two.".to_owned(),
    });
    model.generate_batch(&requests, &options()).unwrap();
    for frames in [0, 3, usize::MAX] {
        speak_and_drop(&model, &voice, "One. Two.", &options(), frames);
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
        "something lives on: {}",
        detector.report()
    );
}
