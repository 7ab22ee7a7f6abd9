//! Sessions: applied settings and recordings. In a binary of its own, because settings apply to the whole
//! process.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pocket_tts::memory::{
    MemoryContext, PoolAllocator, ProfileReport, SessionError, Settings, get_cycle_detector,
    get_memory_monitor, get_memory_pool, init, memory_efficient_context, memory_summary, profile,
};
use pocket_tts::{Error, GenerateOptions, TtsModel};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Runs one test at a time, because there is one session at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(ALLOCATOR.install());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn recording_to(folder: &Path) -> Settings {
    Settings::default().with_profiling_to(folder)
}

fn speak(model: &TtsModel) -> pocket_tts::Result<()> {
    let options = GenerateOptions::default().with_seed(1);
    let voice = model.default_voice()?;
    model.generate(&voice, "One.", &options)?;
    Ok(())
}

/// Returns the sorted names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn assert_one_recording(folder: &Path) {
    let names = names(folder);
    let endings: Vec<_> = names
        .iter()
        .map(|name| name.rsplit_once('.').unwrap())
        .collect();
    let stem = endings[0].0;
    assert!(stem.starts_with("mprofile_"), "{names:?}");
    let expected = ["dat", "html", "json", "svg"].map(|ending| (stem, ending));
    assert_eq!(endings, expected);
}

#[test]
fn settings_apply_while_their_session_lives() {
    let _alone = alone();
    let limit = || MemoryContext::current().limit_bytes();
    let session = init(
        Settings::default()
            .with_memory_limit_bytes(500 << 20)
            .with_pool_size(0),
    )
    .unwrap();
    assert_eq!(limit(), Some(500 << 20));
    {
        // A context can only lower it.
        let _higher = memory_efficient_context(900);
        assert_eq!(limit(), Some(500 << 20));
        let _lower = memory_efficient_context(100);
        assert_eq!(limit(), Some(100 << 20));
    }
    let own_limit = get_memory_monitor().sample().limit.clone().unwrap();
    assert!(own_limit.limit_bytes <= 500 << 20);
    speak(&TtsModel::builtin().unwrap()).unwrap();
    assert_eq!(get_memory_pool().get_stats().pooled_tensors, 0);
    assert_eq!(session.finish().unwrap(), None);

    assert_eq!(limit(), None);
    speak(&TtsModel::builtin().unwrap()).unwrap();
    assert!(get_memory_pool().get_stats().pooled_tensors > 0);
}

#[test]
fn a_context_without_a_limit_uses_that_of_the_settings() {
    let _alone = alone();
    let session = init(Settings::default().with_memory_limit_bytes(500 << 20)).unwrap();
    let _context = memory_efficient_context(None);
    drop(session);
    assert_eq!(MemoryContext::current().limit_bytes(), Some(500 << 20));
}

#[test]
fn rejects_a_second_session_without_effect() {
    let _alone = alone();
    let first = init(Settings::default()).unwrap();
    let lower = Settings::default().with_memory_limit_bytes(1 << 20);
    let error = init(lower.clone()).unwrap_err();
    assert!(
        matches!(error, Error::Session(SessionError::SessionOpen)),
        "{error}"
    );
    assert!(
        error.to_string().contains("one `memory::Session`"),
        "{error}"
    );
    assert_eq!(MemoryContext::current().limit_bytes(), None);
    drop(first);
    drop(init(lower).unwrap());
}

#[test]
fn rejects_invalid_settings_and_leaves_no_session_open() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = init(recording_to(&missing)).unwrap_err();
    assert!(
        matches!(error, Error::Session(SessionError::Recording { .. })),
        "{error}"
    );
    for expected in ["missing", "create the folder"] {
        assert!(error.to_string().contains(expected), "{error}");
    }
    let zero = Settings::default().with_memory_limit_bytes(0);
    let error = init(zero).unwrap_err();
    assert!(error.to_string().contains("memory limit"), "{error}");
    assert_eq!(MemoryContext::current().limit_bytes(), None);
    drop(init(Settings::default()).unwrap());
}

#[test]
fn a_recording_has_phases_and_categories() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let session = init(recording_to(folder.path())).unwrap();
    assert!(get_memory_monitor().is_monitoring());
    let model = TtsModel::builtin().unwrap();
    let weights = model.info().size;
    let weights = (weights.flow_lm_bytes + weights.decoder_bytes) as i64;
    speak(&model).unwrap();
    // A sample with a larger heap than any during loading, however late the monitor's thread runs.
    let block = vec![1_u8; 32 << 20];
    get_memory_monitor().sample();
    drop(block);
    drop(model);
    let files = session.finish().unwrap().unwrap();
    assert!(!get_memory_monitor().is_monitoring());
    assert_one_recording(folder.path());

    let recording = fs::read_to_string(&files.recording).unwrap();
    assert!(recording.starts_with("CMDLINE ") && recording.contains("\nMEM "));
    assert!(
        recording.contains("FUNC tts_core.engine.load "),
        "{recording}"
    );
    let svg = fs::read_to_string(&files.svg).unwrap();
    let html = fs::read_to_string(&files.html).unwrap();
    assert!(svg.ends_with("</svg>\n") || svg.ends_with("</svg>"));
    assert!(html.contains("KV cache") && html.contains("tts_core::engine::load"));

    let json = fs::read(&files.report).unwrap();
    let report: ProfileReport = serde_json::from_slice(&json).unwrap();
    assert_eq!(report.settings, recording_to(folder.path()));
    for name in ["load", "prompt", "generate", "frame", "decode"] {
        let phase = report
            .summary
            .phases
            .iter()
            .find(|phase| phase.name == name);
        let phase = phase.unwrap_or_else(|| panic!("{name} is missing"));
        assert!(phase.calls > 0 && phase.memory_peak_bytes >= phase.memory_in_bytes);
        assert!(phase.memory_in_bytes > Some(0));
    }
    let category = |name: &str| {
        let mut rows = report.categories_at_peak.rows.iter();
        let row = rows.find(|row| row.name == name);
        row.unwrap_or_else(|| panic!("{name} is missing"))
            .bytes
            .unwrap()
    };
    // The model is dropped before the end, but exists at the peak.
    assert_eq!(category("weights"), weights);
    assert!(category("KV cache") + category("streaming state") + category("pool idle") > 0);
    assert!(report.peak.heap_bytes > Some(weights as u64));
    assert!(report.peak.pool_bytes > 0);

    let text = report.to_string();
    for name in [
        "phase",
        "heap peak",
        "decode",
        "weights",
        "scratch",
        "unexplained",
    ] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn writes_the_recording_after_an_error_and_after_a_panic() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let fail = || -> pocket_tts::Result<()> {
        let _session = init(recording_to(folder.path()))?;
        let model = TtsModel::builtin()?;
        model.voice("unknown")?;
        Ok(())
    };
    fail().unwrap_err();
    assert_one_recording(folder.path());

    let folder = tempfile::tempdir().unwrap();
    let panic = std::panic::catch_unwind(|| {
        let _session = init(recording_to(folder.path())).unwrap();
        // Unlike `panic!`, this prints no message.
        std::panic::resume_unwind(Box::new(()));
    });
    panic.unwrap_err();
    assert_one_recording(folder.path());
}

#[test]
fn reports_a_removed_folder_and_ends_the_session() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let session = init(recording_to(folder.path())).unwrap();
    folder.close().unwrap();
    let error = session.finish().unwrap_err();
    assert!(
        matches!(error, Error::Session(SessionError::Recording { .. })),
        "{error}"
    );
    assert!(!get_memory_monitor().is_monitoring());
    drop(init(Settings::default()).unwrap());
}

#[test]
fn tracks_models_voices_and_the_session_while_recording() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let detector = get_cycle_detector();
    detector.clear_registry();
    let before = TtsModel::builtin().unwrap();
    speak(&before).unwrap();
    assert_eq!(detector.get_tracked_count(), 0);
    let session = init(recording_to(folder.path())).unwrap();
    // The model, its voice and the session.
    assert_eq!(detector.get_tracked_count(), 3);
    let after = TtsModel::builtin().unwrap();
    speak(&after).unwrap();
    assert_eq!(detector.get_tracked_count(), 5);
    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 0, "{report}");
    drop((before, after));
    assert_eq!(detector.get_tracked_count(), 1);
    session.finish().unwrap();
}

#[test]
fn a_profile_covers_only_its_own_work() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    // The span layer stays installed after a recording.
    drop(init(recording_to(folder.path())).unwrap());
    let model = TtsModel::builtin().unwrap();
    speak(&model).unwrap();
    let (block, block_profile) = profile("block", || {
        drop(vec![1_u8; 9 << 20]);
        vec![1_u8; 3 << 20]
    });
    let [heap_in, heap_out, heap_peak] = [
        block_profile.heap_in_bytes,
        block_profile.heap_out_bytes,
        block_profile.heap_peak_bytes,
    ]
    .map(Option::unwrap);
    // Other threads of the test runner allocate less than this.
    let tolerance = 1 << 20;
    assert!(
        heap_out.abs_diff(heap_in + (3 << 20)) < tolerance,
        "{block_profile}"
    );
    assert!(
        heap_peak.abs_diff(heap_in + (9 << 20)) < tolerance,
        "{block_profile}"
    );
    assert!(block_profile.phases.is_empty(), "{block_profile}");
    drop(block);

    let (result, profile) = profile("speech", || speak(&model));
    result.unwrap();
    let generate = profile.phases.iter().find(|phase| phase.name == "generate");
    assert_eq!(generate.unwrap().calls, 1, "{profile}");
    assert!(profile.phases.iter().all(|phase| phase.name != "load"));
    if let (Some(before), Some(peak)) = (profile.rss_before_bytes, profile.rss_peak_bytes) {
        assert!(peak >= before);
    }
    let json = serde_json::to_string(&profile).unwrap();
    assert!(json.contains("\"heap_peak_bytes\""), "{json}");
}

#[test]
fn an_open_alert_adds_advice() {
    let _alone = alone();
    let session = init(Settings::default().with_memory_limit_bytes(64 << 10)).unwrap();
    let summary = memory_summary();
    assert!(!summary.open_alerts.is_empty(), "{summary}");
    let text = summary.to_string();
    assert!(text.contains("release_idle_memory"), "{text}");
    drop(session);
    let summary = memory_summary();
    assert!(summary.open_alerts.is_empty(), "{summary}");
}

/// Resident memory that is not counted: a mapping outside of the heap.
struct Uncounted(*mut libc::c_void, usize);

impl Uncounted {
    fn of(bytes: usize) -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: a new anonymous mapping at an address that the kernel chooses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Self(start, bytes)
    }
}

impl Drop for Uncounted {
    fn drop(&mut self) {
        // SAFETY: the mapping of `of`, which nothing refers to.
        unsafe { libc::munmap(self.0, self.1) };
    }
}

#[test]
fn resident_set_above_the_limit_of_counted_bytes_raises_no_alert() {
    let _alone = alone();
    let counted = memory_summary().counted.total_bytes;
    let limit = counted * 4;
    let uncounted = Uncounted::of(limit as usize);
    let session = init(Settings::default().with_memory_limit_bytes(limit)).unwrap();
    let summary = memory_summary();
    assert!(summary.rss_bytes > Some(limit), "{summary}");
    let charged = get_memory_monitor().latest().unwrap().limits[0].clone();
    assert_eq!(charged.limit_bytes, limit);
    assert!(charged.used_bytes < Some(limit / 2), "{charged:?}");
    assert!(summary.open_alerts.is_empty(), "{summary}");
    drop((session, uncounted));
}

/// Collects log messages.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut log = self.0.lock().unwrap();
        log.push((*event.metadata().level(), message.0));
    }
}

#[test]
fn a_recording_logs_the_summary_and_advice() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    tracing::subscriber::with_default(Registry::default().with(log.clone()), || {
        let session = // Far too low, so that there are an alert and advice.
            init(recording_to(folder.path()).with_memory_limit_bytes(64 << 10));
        drop(session.unwrap());
    });
    let log = log.0.lock().unwrap();
    let logged = |level: Level, expected: &str| {
        log.iter()
            .any(|(l, text)| *l == level && text.contains(expected))
    };
    assert!(logged(Level::INFO, "unexplained"), "{log:?}");
    assert!(logged(Level::WARN, "of the limit is used"), "{log:?}");
    assert!(logged(Level::WARN, "release_idle_memory"), "{log:?}");
}
