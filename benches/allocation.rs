//! What the choice of an allocator costs and saves: the allocations of one speech, recorded and
//! replayed on each, and speech itself on each. Every case runs in fresh processes, in turn.
//!
//! Figures are written to `target/bench/allocation.json`, of which `cargo xtask bench allocation`
//! makes tables. Criterion is not used: what is measured is a process from its start to its end, of
//! which time is one figure of several.

use std::alloc::{GlobalAlloc, System};
use std::path::Path;

use benches::allocation::{
    AllocatorKind, POOL, Pass, RECORDING, Reached, Replay, Replayed, SwitchedAllocator,
    TOUCH_STRIDE_BYTES, TraceSummary, VARIABLE, replay, replay_in_new_process, serve_replay,
};
use benches::{BenchModel, Result, Speech, Worker, load_average, serve, spread, write_report};
use mimalloc::MiMalloc;
use serde_json::{Value, json};

/// Each process chooses once, for itself: to record, or to speak on an allocator.
#[global_allocator]
static ALLOCATOR: SwitchedAllocator = SwitchedAllocator::new();

/// Fresh processes that replay, for each allocator. Those of all allocators take turns, so that what
/// slows the machine down for a while slows down all.
const REPLAYS: usize = 11;

/// How often each of them replays the trace.
const PASSES: usize = 60;

/// Threads at which speech is recorded.
const RECORDED_THREADS: usize = 2;

/// Speech that is measured on each allocator.
struct SpeechCase {
    model: BenchModel,
    threads: usize,
    /// Fresh processes; they take turns as those that replay do.
    processes: usize,
    /// How often each of them speaks after it has spoken once.
    speeches: usize,
}

/// The large model takes seconds for a speech: fewer of them.
const SPEECH: [SpeechCase; 3] = [
    SpeechCase {
        model: BenchModel::BuiltIn,
        threads: 1,
        processes: 5,
        speeches: 3,
    },
    SpeechCase {
        model: BenchModel::BuiltIn,
        threads: 2,
        processes: 5,
        speeches: 3,
    },
    SpeechCase {
        model: BenchModel::English110M,
        threads: 2,
        processes: 3,
        speeches: 1,
    },
];

fn main() -> Result<()> {
    ALLOCATOR.install();
    if serve()? || serve_replay(replay_on)? {
        return Ok(());
    }
    let target_tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let load_before = load_average();

    let folder = target_tmp.join("english-110m-random");
    let mut traces = Vec::new();
    for model in BenchModel::ALL {
        model.prepare(&folder)?;
        traces.push(measure_replay(model, &folder, target_tmp)?);
    }
    let mut speech = Vec::new();
    for case in &SPEECH {
        speech.extend(measure_speech(case, &folder)?);
    }
    let report = json!({
        "cores": std::thread::available_parallelism()?.get(),
        "load_average": { "before": load_before, "after": load_average() },
        "touch_stride_bytes": TOUCH_STRIDE_BYTES,
        "traces": traces,
        "speech": speech,
    });
    write_report(target_tmp, "allocation", &report)
}

struct OnSystem;
struct OnMiMalloc;
struct OnPool;

impl Reached for OnSystem {
    fn allocator() -> &'static (impl GlobalAlloc + 'static) {
        &System
    }
}

impl Reached for OnMiMalloc {
    fn allocator() -> &'static (impl GlobalAlloc + 'static) {
        &MiMalloc
    }
}

impl Reached for OnPool {
    fn allocator() -> &'static (impl GlobalAlloc + 'static) {
        &POOL
    }
}

fn replay_on(kind: AllocatorKind) -> Replay {
    match kind {
        AllocatorKind::System | AllocatorKind::SystemRaised => replay::<OnSystem>,
        AllocatorKind::MiMalloc => replay::<OnMiMalloc>,
        AllocatorKind::PoolOff | AllocatorKind::Pool | AllocatorKind::PoolHugePages => {
            replay::<OnPool>
        }
    }
}

/// Records a speech and replays it on each allocator.
fn measure_replay(model: BenchModel, folder: &Path, target_tmp: &Path) -> Result<Value> {
    let path = target_tmp.join(format!("{}.trace", model.name()));
    let (speech, summary) = recording(model, folder, &path)?;
    let mut replays: Vec<_> = AllocatorKind::ALL.map(|kind| (kind, Vec::new())).into();
    for round in 1..=REPLAYS {
        for (kind, results) in &mut replays {
            progress("replay", model, *kind, round, REPLAYS);
            results.push(replay_in_new_process(*kind, &path, PASSES)?);
        }
    }
    let replays = replays
        .iter()
        .map(|(kind, results)| replay_report(*kind, results, &summary));
    Ok(json!({
        "model": model.name(),
        "threads": RECORDED_THREADS,
        "audio_seconds": speech.audio_seconds,
        "frames": speech.frames,
        "summary": summary,
        "processes": REPLAYS,
        "passes": PASSES,
        "replays": replays.collect::<Vec<_>>(),
    }))
}

/// Speaks on each allocator.
fn measure_speech(case: &SpeechCase, folder: &Path) -> Result<Vec<Value>> {
    let mut spoken: Vec<_> = AllocatorKind::ALL
        .map(|kind| (kind, Spoken::default()))
        .into();
    for round in 1..=case.processes {
        for (kind, spoken) in &mut spoken {
            progress("speech", case.model, *kind, round, case.processes);
            spoken.add(*kind, case, folder)?;
        }
    }
    Ok(spoken
        .iter()
        .map(|(kind, spoken)| spoken.report(*kind, case))
        .collect())
}

fn progress(what: &str, model: BenchModel, kind: AllocatorKind, round: usize, of: usize) {
    let (model, kind) = (model.name(), kind.name());
    eprintln!("{what}, {model} on {kind}, {round} of {of}");
}

/// Records a speech: not the first of its process, so that what is kept for later is there already.
fn recording(model: BenchModel, folder: &Path, path: &Path) -> Result<(Speech, TraceSummary)> {
    let mut worker = Worker::start_with(model, folder, RECORDED_THREADS, |command| {
        AllocatorKind::System.set_environment(command);
        command.env(VARIABLE, RECORDING);
    })?;
    worker.speech()?;
    worker.record(path)
}

/// A process begins with nothing, so its first pass stands alone; the others are alike.
fn replay_report(kind: AllocatorKind, results: &[Replayed], summary: &TraceSummary) -> Value {
    let first = || results.iter().filter_map(|result| result.passes.first());
    let others = || {
        results
            .iter()
            .flat_map(|result| result.passes.iter().skip(1))
    };
    let milliseconds = |pass: &Pass| pass.wall.as_secs_f64() * 1e3;
    let faults = |pass: &Pass| Some(pass.minor_faults? as f64);
    let bytes = |of: fn(&Replayed) -> Option<u64>| {
        spread(results.iter().filter_map(of).map(|bytes| bytes as f64))
    };
    json!({
        "allocator": kind.name(),
        "first_pass_ms": spread(first().map(milliseconds)),
        "pass_ms": spread(others().map(milliseconds)),
        "first_pass_minor_faults": spread(first().filter_map(faults)),
        "pass_minor_faults": spread(others().filter_map(faults)),
        "peak_rss_bytes": bytes(|result| result.peak_rss_bytes),
        "idle_rss_bytes": bytes(|result| result.idle_rss_bytes),
        "trimmed_rss_bytes": bytes(|result| result.trimmed_rss_bytes),
        // What is resident beyond what was asked for, at the worst moment.
        "peak_rss_per_live_byte": spread(
            results
                .iter()
                .filter_map(|result| result.peak_rss_bytes)
                .map(|bytes| bytes as f64 / summary.peak_live_bytes as f64),
        ),
    })
}

/// Speech on an allocator.
#[derive(Default)]
struct Spoken {
    speeches: Vec<Speech>,
    /// Of each process.
    peak_rss_bytes: Vec<u64>,
}

impl Spoken {
    /// One process more.
    fn add(&mut self, kind: AllocatorKind, case: &SpeechCase, folder: &Path) -> Result<()> {
        let mut worker = Worker::start_with(case.model, folder, case.threads, |command| {
            kind.set_environment(command);
            command.env(VARIABLE, kind.name());
        })?;
        worker.speech()?;
        for _ in 0..case.speeches {
            self.speeches.push(worker.speech()?);
        }
        self.peak_rss_bytes.extend(worker.peak_rss_bytes()?);
        Ok(())
    }

    fn report(&self, kind: AllocatorKind, case: &SpeechCase) -> Value {
        let of_speeches =
            |of: fn(&Speech) -> Option<f64>| spread(self.speeches.iter().filter_map(of));
        json!({
            "model": case.model.name(),
            "threads": case.threads,
            "allocator": kind.name(),
            "processes": case.processes,
            "times_real_time":
                of_speeches(|speech| Some(speech.audio_seconds / speech.wall.as_secs_f64())),
            "minor_faults_per_frame":
                of_speeches(|speech| Some(speech.minor_faults? as f64 / speech.frames as f64)),
            "peak_rss_bytes": spread(self.peak_rss_bytes.iter().map(|&bytes| bytes as f64)),
        })
    }
}
