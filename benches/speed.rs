//! The headline figures for each model at one and two threads: real-time factor, time to first audio,
//! time per frame, load time and peak memory, with the limits of the machine.
//!
//! Criterion repeats, times and compares with the previous run. The other figures are written to
//! `target/bench/speed.json`; `cargo xtask bench speed` prints them as a table. Each model runs in its own
//! process.

use std::path::Path;
use std::time::Duration;

use bench_report::speed::{Case, FrameLimit, Machine, Report};
use bench_report::{LoadAverage, Spread};
use benches::{
    BenchModel, FrameCost, Limits, Result, SHORT_TEXT, Speech, Worker, load_average, long_text,
    serve, write_report,
};
use criterion::{BenchmarkId, Criterion, SamplingMode};

/// Criterion's minimum.
const SAMPLES: usize = 10;

/// The measured numbers of threads.
const THREADS: [usize; 2] = [1, 2];

fn main() -> Result<()> {
    if serve()? {
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("english-110m-random");
    let before = load_average();
    let mut limits = Vec::new();
    for threads in THREADS {
        limits.push((threads, Limits::measure(threads)?));
    }
    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        // The first speech of each process warms it up.
        .warm_up_time(Duration::from_millis(1))
        .configure_from_args();
    let mut cases = Vec::new();
    for model in BenchModel::ALL {
        model.prepare(&folder)?;
        for (threads, limits) in &limits {
            cases.push(measure(&mut criterion, model, &folder, *threads, limits)?);
        }
    }
    criterion.final_summary();
    let machine = limits.iter().map(|(threads, limits)| Machine {
        threads: *threads,
        gigabytes_per_second: limits.bytes_per_second / 1e9,
        gflop_per_second: limits.flops_per_second / 1e9,
    });
    let report = Report {
        cores: std::thread::available_parallelism()?.get(),
        load_average: LoadAverage {
            before,
            after: load_average(),
        },
        machine: machine.collect(),
        cases,
        reference: Vec::new(),
    };
    write_report(Path::new(env!("CARGO_TARGET_TMPDIR")), "speed", &report)
}

fn measure(
    criterion: &mut Criterion,
    model: BenchModel,
    folder: &Path,
    threads: usize,
    limits: &Limits,
) -> Result<Case> {
    let id = |what: &str| BenchmarkId::new(what, format!("{threads} threads"));
    let mut group = criterion.benchmark_group(format!("speed/{}", model.name()));
    group.sampling_mode(SamplingMode::Flat);
    // One measurement per sample is enough, since each takes long.
    group.measurement_time(Duration::from_millis(1));

    let mut loads = Vec::new();
    group.bench_function(id("load"), |bencher| {
        bencher.iter_custom(|count| {
            sum(count, || {
                let load = Worker::start(model, folder, threads)?.ready.load;
                loads.push(load);
                Ok(load)
            })
        });
    });

    let mut worker = Worker::start(model, folder, threads)?;
    let warm_up = worker.speech()?;
    let mut speeches = Vec::new();
    group.bench_function(id("speech"), |bencher| {
        bencher.iter_custom(|count| {
            sum(count, || {
                let speech = worker.speech()?;
                speeches.push(speech);
                Ok(speech.wall)
            })
        });
    });
    let mut first_audios = Vec::new();
    group.bench_function(id("first audio"), |bencher| {
        bencher.iter_custom(|count| {
            sum(count, || {
                let time = worker.first_audio()?;
                first_audios.push(time);
                Ok(time)
            })
        });
    });
    group.finish();

    let parts = model.open(folder)?;
    let cost = FrameCost::of(&parts.config);
    let limit_seconds = cost.seconds(limits.bytes_per_second, limits.flops_per_second);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let per_frame = |of: &dyn Fn(&Speech) -> Duration| {
        Spread::of(
            speeches
                .iter()
                .map(|speech| milliseconds(of(speech)) / speech.frames as f64),
        )
    };
    let times_real_time = speeches
        .iter()
        .map(|speech| speech.audio_seconds / speech.wall.as_secs_f64());
    let (config, voice) = model.files(folder);
    Ok(Case {
        model: model.name().to_owned(),
        threads,
        config: config.display().to_string(),
        voice: voice.display().to_string(),
        text: long_text(&parts)?,
        short_text: SHORT_TEXT.to_owned(),
        frames: warm_up.frames,
        audio_seconds: warm_up.audio_seconds,
        times_real_time: Spread::of(times_real_time),
        frame_ms: per_frame(&|speech| speech.wall),
        flow_lm_frame_ms: per_frame(&|speech| speech.flow_lm),
        mimi_frame_ms: per_frame(&|speech| speech.mimi),
        first_audio_ms: Spread::of(first_audios.into_iter().map(milliseconds)),
        load_ms: Spread::of(loads.into_iter().map(milliseconds)),
        peak_rss_bytes: worker.peak_rss_bytes()?,
        limit: FrameLimit {
            flow_lm_bytes: cost.flow_lm_bytes,
            mimi_flops: cost.mimi_flops,
            frame_ms: limit_seconds * 1e3,
            times_real_time: 1.0 / parts.config.mimi.frame_rate / limit_seconds,
        },
    })
}

/// Returns the total time of `count` measurements. Criterion cannot return errors, so an error panics.
fn sum(count: u64, mut measure: impl FnMut() -> Result<Duration>) -> Duration {
    (0..count)
        .map(|_| measure().unwrap_or_else(|error| panic!("{error}")))
        .sum()
}
