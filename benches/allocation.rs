//! A comparison of allocators. The allocations of one speech are recorded and replayed on each allocator,
//! and speech generation is measured on each. Every case runs in new processes that take turns.
//!
//! The report is written to `target/bench/allocation.json`; `cargo xtask bench allocation` prints it.
//! Criterion is not used, because time is only one figure of a process that is measured from start to end.

use std::alloc::{GlobalAlloc, System};
use std::path::Path;

use bench_report::allocation::{
    Replay as ReplayReport, Report, Speech as SpeechReport, Trace, TraceSummary,
};
use bench_report::{LoadAverage, Spread};
use benches::allocation::{
    AllocatorKind, CalledLikeGlobal, POOL, Pass, RECORDING, Replay, Replayed, SwitchedAllocator,
    TOUCH_STRIDE_BYTES, VARIABLE, replay, replay_in_new_process, serve_replay,
};
use benches::{BenchModel, Result, Speech, Worker, load_average, serve, write_report};
use mimalloc::MiMalloc;

/// Each process selects its allocator once, at its first allocation.
#[global_allocator]
static ALLOCATOR: SwitchedAllocator = SwitchedAllocator::new();

/// Number of replaying processes per allocator. The processes of all allocators take turns, so a temporary
/// slowdown of the machine affects all of them.
const REPLAYS: usize = 11;

/// Number of passes over the trace in each replaying process.
const PASSES: usize = 60;

/// Number of threads that generate the recorded speech.
const RECORDED_THREADS: usize = 2;

/// A speech that is measured on each allocator.
struct SpeechCase {
    model: BenchModel,
    threads: usize,
    /// Number of new processes; the processes of all allocators take turns.
    processes: usize,
    /// Number of measured speeches per process, after one warm-up.
    speeches: usize,
}

/// The large model has fewer speeches, because each takes several seconds.
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
    let before = load_average();

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
    let report = Report {
        cores: std::thread::available_parallelism()?.get(),
        load_average: LoadAverage {
            before,
            after: load_average(),
        },
        touch_stride_bytes: TOUCH_STRIDE_BYTES,
        traces,
        speech,
    };
    write_report(target_tmp, "allocation", &report)
}

struct OnSystem;
struct OnMiMalloc;
struct OnPool;

impl CalledLikeGlobal for OnSystem {
    fn allocator() -> &'static (impl GlobalAlloc + 'static) {
        &System
    }
}

impl CalledLikeGlobal for OnMiMalloc {
    fn allocator() -> &'static (impl GlobalAlloc + 'static) {
        &MiMalloc
    }
}

impl CalledLikeGlobal for OnPool {
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

/// Records a speech and replays its allocations on each allocator.
fn measure_replay(model: BenchModel, folder: &Path, target_tmp: &Path) -> Result<Trace> {
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
    Ok(Trace {
        model: model.name().to_owned(),
        threads: RECORDED_THREADS,
        audio_seconds: speech.audio_seconds,
        frames: speech.frames,
        summary,
        processes: REPLAYS,
        passes: PASSES,
        replays: replays.collect(),
    })
}

/// Measures speech on each allocator.
fn measure_speech(case: &SpeechCase, folder: &Path) -> Result<Vec<SpeechReport>> {
    let mut results: Vec<_> = AllocatorKind::ALL
        .map(|kind| (kind, SpeechResults::default()))
        .into();
    for round in 1..=case.processes {
        for (kind, results) in &mut results {
            progress("speech", case.model, *kind, round, case.processes);
            results.add(*kind, case, folder)?;
        }
    }
    Ok(results
        .iter()
        .map(|(kind, results)| results.report(*kind, case))
        .collect())
}

fn progress(what: &str, model: BenchModel, kind: AllocatorKind, round: usize, of: usize) {
    let (model, kind) = (model.name(), kind.name());
    eprintln!("{what}, {model} on {kind}, {round} of {of}");
}

/// Records the second speech of a process. Buffers that stay allocated then already exist.
fn recording(model: BenchModel, folder: &Path, path: &Path) -> Result<(Speech, TraceSummary)> {
    let mut worker = Worker::start_with(model, folder, RECORDED_THREADS, |command| {
        AllocatorKind::System.set_environment(command);
        command.env(VARIABLE, RECORDING);
    })?;
    worker.speech()?;
    worker.record(path)
}

/// Summarizes the replays on one allocator. The first pass of each process is reported separately, because
/// the allocator has no free memory before it.
fn replay_report(
    kind: AllocatorKind,
    results: &[Replayed],
    summary: &TraceSummary,
) -> ReplayReport {
    let first = || results.iter().filter_map(|result| result.passes.first());
    let others = || {
        results
            .iter()
            .flat_map(|result| result.passes.iter().skip(1))
    };
    let milliseconds = |pass: &Pass| pass.wall.as_secs_f64() * 1e3;
    let faults = |pass: &Pass| Some(pass.minor_faults? as f64);
    let bytes = |of: fn(&Replayed) -> Option<u64>| {
        Spread::of(results.iter().filter_map(of).map(|bytes| bytes as f64))
    };
    ReplayReport {
        allocator: kind.name().to_owned(),
        first_pass_ms: Spread::of(first().map(milliseconds)),
        pass_ms: Spread::of(others().map(milliseconds)),
        first_pass_minor_faults: Spread::of(first().filter_map(faults)),
        pass_minor_faults: Spread::of(others().filter_map(faults)),
        peak_rss_bytes: bytes(|result| result.peak_rss_bytes),
        idle_rss_bytes: bytes(|result| result.idle_rss_bytes),
        trimmed_rss_bytes: bytes(|result| result.trimmed_rss_bytes),
        peak_rss_per_live_byte: Spread::of(
            results
                .iter()
                .filter_map(|result| result.peak_rss_bytes)
                .map(|bytes| bytes as f64 / summary.peak_live_bytes as f64),
        ),
    }
}

/// Measurements of speech on one allocator.
#[derive(Default)]
struct SpeechResults {
    speeches: Vec<Speech>,
    /// One value per process.
    peak_rss_bytes: Vec<u64>,
}

impl SpeechResults {
    /// Measures one more process.
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

    fn report(&self, kind: AllocatorKind, case: &SpeechCase) -> SpeechReport {
        let of_speeches =
            |of: fn(&Speech) -> Option<f64>| Spread::of(self.speeches.iter().filter_map(of));
        SpeechReport {
            model: case.model.name().to_owned(),
            threads: case.threads,
            allocator: kind.name().to_owned(),
            processes: case.processes,
            times_real_time: of_speeches(|speech| {
                Some(speech.audio_seconds / speech.wall.as_secs_f64())
            }),
            minor_faults_per_frame: of_speeches(|speech| {
                Some(speech.minor_faults? as f64 / speech.frames as f64)
            }),
            peak_rss_bytes: Spread::of(self.peak_rss_bytes.iter().map(|&bytes| bytes as f64)),
        }
    }
}
