//! Cycles that a program can build through the public API: they are found, named and broken, and their
//! memory is released. In a binary of its own, because the allocator counts the whole process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use leak_detect::{Trace, assert_no_cycles};
use pocket_tts::hub::{HubOptions, Progress};
use pocket_tts::memory::{
    PoolAllocator, ReferenceCycleDetector, Settings, TracedFn, Unlink, get_cycle_detector,
    get_memory_ledger, init, release_idle_memory,
};
use pocket_tts::{GenerateOptions, LoadOptions, Location, ModelSource, TtsModel, Voice};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Bytes that may differ afterwards: mostly the monitor's history of a recorded session, about 300 KB. The
/// model has more than 20 MiB.
const DRIFT_BYTES: u64 = 1 << 20;

/// Runs one test at a time: all of them count the process's bytes.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(ALLOCATOR.install());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counted_bytes() -> u64 {
    release_idle_memory();
    get_memory_ledger().counted().total()
}

/// Returns the counted bytes before a model is loaded, when everything that is created once exists.
fn bytes_without_a_model() -> u64 {
    drop(speaking_model(LoadOptions::default()));
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut bytes = counted_bytes();
    loop {
        // The threads of the model end soon after it is dropped.
        thread::sleep(Duration::from_millis(100));
        let now = counted_bytes();
        if now == bytes || Instant::now() > deadline {
            return now;
        }
        bytes = now;
    }
}

fn speaking_model(options: LoadOptions) -> (TtsModel, Voice) {
    let model = TtsModel::load(ModelSource::BuiltIn, options).unwrap();
    let voice = model.default_voice().unwrap();
    let options = GenerateOptions::default().with_seed(1);
    model.generate(&voice, "One.", &options).unwrap();
    (model, voice)
}

fn assert_released(before: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while counted_bytes() > before + DRIFT_BYTES && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    let now = counted_bytes();
    assert!(
        now <= before + DRIFT_BYTES,
        "{now} bytes are counted, {before} before"
    );
}

fn path(detector: &ReferenceCycleDetector) -> String {
    let report = detector.report();
    assert_eq!(report.cycles().len(), 1, "{report}");
    report.cycles()[0].to_string()
}

/// Checks that everything is freed but the ledger of the process, which the model referred to.
fn assert_only_the_ledger_is_left(detector: &ReferenceCycleDetector) {
    assert_no_cycles!(detector);
    let report = detector.report();
    let names = report.objects().iter().map(|object| object.type_name);
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["tts_core::ledger::Inner"]);
}

/// Phrases that a program has spoken before.
#[derive(Trace)]
struct Phrases {
    /// Should be a `Weak`.
    model: TtsModel,
    voice: Voice,
    samples: Mutex<Vec<f32>>,
}

#[test]
fn callback_that_owns_its_model_is_named_and_freed() {
    let _alone = alone();
    let before = bytes_without_a_model();
    let folder = tempfile::tempdir().unwrap();
    // While a session profiles, models are tracked.
    let session = init(Settings::default().with_profiling_to(folder.path())).unwrap();
    let (model, voice) = speaking_model(LoadOptions::default());
    session.finish().unwrap();
    let phrases = Arc::new(Phrases {
        model: model.clone(),
        voice: voice.clone(),
        samples: Mutex::new(vec![0.0; 1000]),
    });
    model.on_memory_shortage(TracedFn::new(Arc::clone(&phrases), |phrases, ()| {
        assert!(phrases.voice.positions() > 0 && phrases.model.sample_rate_hz() > 0);
        phrases.samples.lock().unwrap().clear();
    }));

    // The callback is called before a request is refused.
    let mut request = model
        .request(&voice, "Hello world.", &GenerateOptions::default())
        .unwrap();
    request.memory_limit_bytes = Some(1 << 20);
    assert!(model.generate_batch(vec![request]).is_err());
    assert!(phrases.samples.lock().unwrap().is_empty());

    let detector = get_cycle_detector();
    drop(phrases);
    assert_eq!(detector.detect_cycles(), 0, "`model` is in use");
    drop((model, voice));
    assert_eq!(
        path(detector),
        "SharedModel.shortage.callbacks -> TracedFn<Phrases>.state -> Phrases.model.shared -> SharedModel"
    );
    assert!(
        counted_bytes() > before + (20 << 20),
        "the model's weights are leaked"
    );
    let report = detector.report();
    let names: Vec<_> = report
        .objects()
        .iter()
        .map(|object| object.type_name)
        .collect();
    for name in ["Engine", "VoiceKv", "CachedVoice", "Tokenizer"] {
        assert!(
            names.iter().any(|found| found.ends_with(name)),
            "{name} is not traced: {names:?}"
        );
    }

    let broken = detector.break_cycles();
    assert_eq!((broken.objects_unlinked, broken.cycles_left), (1, 0));
    assert_only_the_ledger_is_left(detector);
    assert_released(before);
}

/// A window that displays downloads, and later speaks.
#[derive(Trace, Default)]
#[trace(unlink)]
struct Window {
    model: Mutex<Option<TtsModel>>,
}

impl Unlink for Window {
    fn unlink(&self) {
        let model = self.model.lock().unwrap().take();
        drop(model);
    }
}

#[derive(Trace)]
struct Observer {
    window: Arc<Window>,
}

impl Progress for Observer {
    fn downloading(&self, _: &Location, _: u64, _: Option<u64>) {}

    fn downloaded(&self, _: &Location) {}
}

#[test]
fn observer_of_downloads_that_owns_the_model_is_named_and_freed() {
    let _alone = alone();
    let before = bytes_without_a_model();
    let detector = ReferenceCycleDetector::new();
    let window = Arc::<Window>::default();
    detector.track_object(&window);
    let observer = Observer {
        window: Arc::clone(&window),
    };
    let hub = HubOptions::default().with_progress(observer);
    let (model, voice) = speaking_model(LoadOptions::default().with_hub(hub));
    *window.model.lock().unwrap() = Some(model.clone());
    drop((window, voice));

    // The threads of a stream are external owners.
    let voice = model.default_voice().unwrap();
    let text = "A stream keeps its model alive. ".repeat(20);
    let mut stream = model
        .stream(&voice, text.as_str(), &GenerateOptions::default())
        .unwrap();
    stream.next().unwrap().unwrap();
    drop((model, voice));
    stream.wait();

    assert_eq!(
        path(&detector),
        "Window.model.shared -> SharedModel.files.hub.options.progress -> Observer.window -> Window"
    );
    let broken = detector.break_cycles();
    assert_eq!((broken.objects_unlinked, broken.cycles_left), (1, 0));
    assert_only_the_ledger_is_left(&detector);
    assert_released(before);
}
