//! Settings in force, and what recordings leave. In a binary of its own, because settings are those of
//! the whole process.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pocket_tts::memory::{
    MemoryContext, MemoryError, PoolAllocator, ProfileReport, Settings, get_cycle_detector,
    get_memory_monitor, get_memory_pool, init, memory_efficient_context, memory_summary, profile,
};
use pocket_tts::{Error, GenerateOptions, TtsModel};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// There is one session at a time, so there is one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(ALLOCATOR.install());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn recording_to(folder: &Path) -> Settings {
    Settings::default().with_profiling_to(folder)
}

fn speak(model: &TtsModel) -> pocket_tts::Result<()> {
    let options = GenerateOptions {
        seed: Some(1),
        ..GenerateOptions::default()
    };
    let voice = model.default_voice()?;
    model.generate(&voice, "One.", &options).map(drop)
}

/// The names in a folder, sorted.
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
fn settings_are_in_force_as_long_as_their_session() {
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
    assert!(own_limit.bytes.0 <= 500 << 20);
    speak(&TtsModel::builtin().unwrap()).unwrap();
    assert_eq!(get_memory_pool().get_stats().pooled_tensors, 0);
    assert_eq!(session.finish().unwrap(), None);

    assert_eq!(limit(), None);
    speak(&TtsModel::builtin().unwrap()).unwrap();
    assert!(get_memory_pool().get_stats().pooled_tensors > 0);
}

#[test]
fn a_context_without_a_limit_has_that_of_the_settings() {
    let _alone = alone();
    let session = init(Settings::default().with_memory_limit_bytes(500 << 20)).unwrap();
    let _context = memory_efficient_context(None);
    drop(session);
    assert_eq!(MemoryContext::current().limit_bytes(), Some(500 << 20));
}

#[test]
fn a_second_session_is_refused_and_changes_nothing() {
    let _alone = alone();
    let first = init(Settings::default()).unwrap();
    let lower = Settings::default().with_memory_limit_bytes(1 << 20);
    let error = init(lower.clone()).unwrap_err();
    assert!(
        matches!(error, Error::Memory(MemoryError::SessionOpen)),
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
fn what_cannot_be_is_refused_and_leaves_no_session_open() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = init(recording_to(&missing)).unwrap_err();
    assert!(
        matches!(error, Error::Memory(MemoryError::Recording { .. })),
        "{error}"
    );
    for part in ["missing", "create the folder"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let nothing = Settings::default().with_memory_limit_bytes(0);
    let error = init(nothing).unwrap_err();
    assert!(error.to_string().contains("memory limit"), "{error}");
    assert_eq!(MemoryContext::current().limit_bytes(), None);
    drop(init(Settings::default()).unwrap());
}

#[test]
fn a_recording_tells_phases_and_parts() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let session = init(recording_to(folder.path())).unwrap();
    assert!(get_memory_monitor().is_monitoring());
    let model = TtsModel::builtin().unwrap();
    let weights = model.info().size;
    let weights = (weights.flow_lm_bytes + weights.decoder_bytes) as i64;
    speak(&model).unwrap();
    drop(model);
    let files = session.finish().unwrap().unwrap();
    assert!(!get_memory_monitor().is_monitoring());
    assert_one_recording(folder.path());

    let recording = fs::read_to_string(&files.recording).unwrap();
    assert!(recording.starts_with("CMDLINE ") && recording.contains("\nMEM "));
    assert!(
        recording.contains("FUNC tts_core.model.load "),
        "{recording}"
    );
    let svg = fs::read_to_string(&files.svg).unwrap();
    let html = fs::read_to_string(&files.html).unwrap();
    assert!(svg.ends_with("</svg>\n") || svg.ends_with("</svg>"));
    assert!(html.contains("KV cache") && html.contains("tts_core::model::load"));

    let json = fs::read(&files.report).unwrap();
    let report: ProfileReport = serde_json::from_slice(&json).unwrap();
    assert_eq!(report.settings, recording_to(folder.path()));
    for name in ["load", "prompt", "generate", "step", "decode"] {
        let phase = report
            .summary
            .phases
            .iter()
            .find(|phase| phase.name == name);
        let phase = phase.unwrap_or_else(|| panic!("{name} is missing"));
        assert!(phase.calls > 0 && phase.memory_peak_bytes >= phase.memory_in_bytes);
        assert!(phase.memory_in_bytes > Some(0));
    }
    let part = |name: &str| {
        let mut rows = report.categories_at_peak.rows.iter();
        let row = rows.find(|row| row.name == name);
        row.unwrap_or_else(|| panic!("{name} is missing"))
            .bytes
            .unwrap()
    };
    // The model is gone at the end, but not at the peak.
    assert_eq!(part("weights"), weights);
    assert!(part("KV cache") + part("streaming state") + part("pool idle") > 0);
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
fn a_recording_is_written_after_an_error_and_after_a_panic() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let fail = || -> pocket_tts::Result<()> {
        let _session = init(recording_to(folder.path()))?;
        let model = TtsModel::builtin()?;
        model.voice("nobody")?;
        Ok(())
    };
    fail().unwrap_err();
    assert_one_recording(folder.path());

    let folder = tempfile::tempdir().unwrap();
    let panic = std::panic::catch_unwind(|| {
        let _session = init(recording_to(folder.path())).unwrap();
        // Without a message.
        std::panic::resume_unwind(Box::new(()));
    });
    panic.unwrap_err();
    assert_one_recording(folder.path());
}

#[test]
fn a_folder_that_goes_away_is_told_and_ends_the_session() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let session = init(recording_to(folder.path())).unwrap();
    folder.close().unwrap();
    let error = session.finish().unwrap_err();
    assert!(
        matches!(error, Error::Memory(MemoryError::Recording { .. })),
        "{error}"
    );
    assert!(!get_memory_monitor().is_monitoring());
    drop(init(Settings::default()).unwrap());
}

#[test]
fn the_engines_objects_are_tracked_while_it_is_recorded() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let detector = get_cycle_detector();
    detector.clear_registry();
    let before = TtsModel::builtin().unwrap();
    speak(&before).unwrap();
    assert_eq!(detector.get_tracked_count(), 0);
    let session = init(recording_to(folder.path())).unwrap();
    // The model and its voice, the session.
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
fn a_profile_is_of_its_own_work() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    // Phases are there after any recording: the layer stays.
    drop(init(recording_to(folder.path())).unwrap());
    let model = TtsModel::builtin().unwrap();
    speak(&model).unwrap();
    let (kept, kept_profile) = profile("kept", || {
        drop(vec![1_u8; 9 << 20]);
        vec![1_u8; 3 << 20]
    });
    let [heap_in, heap_out, heap_peak] = [
        kept_profile.heap_in_bytes,
        kept_profile.heap_out_bytes,
        kept_profile.heap_peak_bytes,
    ]
    .map(Option::unwrap);
    // Other threads of the test runner allocate a little.
    let little = 1 << 20;
    assert!(
        heap_out.abs_diff(heap_in + (3 << 20)) < little,
        "{kept_profile}"
    );
    assert!(
        heap_peak.abs_diff(heap_in + (9 << 20)) < little,
        "{kept_profile}"
    );
    assert!(kept_profile.phases.is_empty(), "{kept_profile}");
    drop(kept);

    let (spoken, profile) = profile("speech", || speak(&model));
    spoken.unwrap();
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
fn an_alert_gives_advice() {
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

/// The messages that were logged.
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
fn a_recording_logs_the_summary_and_what_to_do() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    tracing::subscriber::with_default(Registry::default().with(log.clone()), || {
        let session = // Far too low, so that there are an alert and advice.
            init(recording_to(folder.path()).with_memory_limit_bytes(64 << 10));
        drop(session.unwrap());
    });
    let log = log.0.lock().unwrap();
    let told = |level: Level, what: &str| {
        log.iter()
            .any(|(l, text)| *l == level && text.contains(what))
    };
    assert!(told(Level::INFO, "unexplained"), "{log:?}");
    assert!(told(Level::WARN, "of the limit is used"), "{log:?}");
    assert!(told(Level::WARN, "release_idle_memory"), "{log:?}");
}
