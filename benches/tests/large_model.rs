//! Memory plans and limits with a model of the size of the released models: 110 M parameters with random
//! weights.
//!
//! The file contains a single test, because the test counts all bytes of its process. The weights file of
//! 440 MB is written once.

use std::env;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use benches::{BenchModel, peak_rss_bytes, reset_peak_rss, rss_bytes};
use pocket_tts::Location;
use pocket_tts::memory::{
    MemoryPlan, PoolAllocator, get_memory_ledger, optimize_model_memory, with_memory_limit,
};
use pocket_tts::{
    Audio, CoreError, DeviceKind, Error, GenerateOptions, LoadOptions, ModelSource, SpeechRequest,
    TtsModel, Voice,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tensor_pool::PeakWindow;
use tts_core::MemoryError;
use tts_core::{Component, Config, expected_tensors};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// The environment variable that passes the folder of the model to the child process.
const FOLDER_VARIABLE: &str = "BENCHES_TEST_FOLDER";

/// Texts of one segment each. They are short, because the model is slow.
const TEXTS: [&str; 3] = [
    "So.",
    "So we go on.",
    "So we go on, and the sun is on a hill.",
];

/// Minimum tolerance between a plan and the measured peak.
const TOLERANCE_BYTES: u64 = 4 << 20;

/// Number of runs with a limit.
const RUNS: usize = 10;

/// Allowed RSS of a loaded model in addition to its weights: stacks of the threads, the header of the weights
/// file, and pages of the program.
const SLACK_BYTES: u64 = 24 << 20;

/// Returns the folder of the model. Creates the model if necessary, under a lock against other processes.
fn prepared_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("110m-random");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    BenchModel::English110M.prepare(&folder).unwrap();
    folder
}

struct LargeModel {
    model: TtsModel,
    /// The stored voice and, after [`Self::clone_voice`], a cloned one.
    voices: Vec<Voice>,
}

impl LargeModel {
    fn load(folder: &Path) -> Self {
        let (config, voice) = BenchModel::English110M.files(folder);
        let options = LoadOptions::default()
            .with_device(DeviceKind::Flex)
            .with_threads(2);
        let model = TtsModel::load(ModelSource::Config(Location::Local(config)), options).unwrap();
        let voice = model.voice(voice.to_str().unwrap()).unwrap();
        Self {
            model,
            voices: vec![voice],
        }
    }

    /// Adds a voice that is cloned from a synthetic hum, and releases the encoder.
    fn clone_voice(&mut self) {
        let rate_hz = self.model.sample_rate_hz();
        let samples = (0..3 * rate_hz).map(|n| {
            let t = n as f32 / rate_hz as f32;
            0.3 * (t * 900.0).sin() * (1.0 + (t * 20.0).sin())
        });
        let hum = Audio::new(samples.collect(), rate_hz);
        self.voices.push(self.model.clone_voice(&hum).unwrap());
        optimize_model_memory(&self.model);
    }

    fn requests(&self, run: Run) -> Vec<SpeechRequest> {
        let voice = &self.voices[run.voice];
        let request = self.model.request(voice, run.text, &run.options());
        vec![request.unwrap(); run.requests]
    }

    fn plan(&self, run: Run) -> MemoryPlan {
        let requests = self.requests(run);
        let SpeechRequest {
            voice,
            text,
            options,
            ..
        } = &requests[0];
        match run.is_stream {
            true => self.model.plan_stream_memory(voice, text, options),
            false => self.model.plan_batch_memory(&requests),
        }
        .unwrap()
    }

    /// Generates the run's speech and returns the peak of the bytes to which limits apply.
    fn generate(&self, run: Run) -> Result<u64, Error> {
        let requests = self.requests(run);
        let window = PeakWindow::new();
        if run.is_stream {
            let SpeechRequest {
                voice,
                text,
                options,
                ..
            } = &requests[0];
            for chunk in self.model.stream(voice, text, options)? {
                chunk?;
            }
        } else {
            self.model.generate_batch(requests)?;
        }
        // Mapped bytes do not change during generation, so their current value is added.
        Ok(window.peak_bytes().unwrap() + get_memory_ledger().counted().mapped_bytes)
    }
}

/// A generation task.
#[derive(Clone, Copy, Debug)]
struct Run {
    text: &'static str,
    /// Index in [`LargeModel::voices`].
    voice: usize,
    /// Number of equal requests.
    requests: usize,
    batch_size: usize,
    is_stream: bool,
    seed: u64,
}

impl Run {
    fn options(self) -> GenerateOptions {
        GenerateOptions::default()
            .with_seed(self.seed)
            .with_batch_size(self.batch_size)
    }
}

#[test]
fn large_model_stays_within_memory_plans_and_limits() {
    if let Ok(folder) = env::var(FOLDER_VARIABLE) {
        return load_and_wait(Path::new(&folder));
    }
    assert!(ALLOCATOR.install());
    let folder = prepared_folder();
    let mut child = check_loading(&folder);
    let mut large = LargeModel::load(&folder);
    check_shared_memory(&mut child);
    check_plans(&large);
    large.clone_voice();
    check_limits(&large);
}

/// Checks that the measured peak is at most the planned one and that the plan is not much larger.
fn check_plans(large: &LargeModel) {
    for batch_size in [1, 4, 8] {
        let run = Run {
            text: TEXTS[2],
            voice: 0,
            requests: batch_size,
            batch_size,
            is_stream: false,
            seed: 1,
        };
        let plan = large.plan(run);
        let planned = plan.peak_bytes;
        let peak = large.generate(run).unwrap();
        println!("batch {batch_size}: planned {planned} B, peak {peak} B");
        assert!(
            peak <= planned,
            "the peak of {peak} B exceeds the plan\n{plan}"
        );
        let allowed = TOLERANCE_BYTES.max(peak / 10);
        assert!(
            planned.saturating_sub(peak) <= allowed,
            "the plan is too high for the peak of {peak} B\n{plan}"
        );
    }
}

/// Checks that random runs with random limits are rejected or stay within the limit.
fn check_limits(large: &LargeModel) {
    let mut random = ChaCha8Rng::seed_from_u64(110);
    let (mut rejected, mut finished) = (0, 0);
    for index in 0..RUNS {
        let is_stream = random.random_bool(0.5);
        let run = Run {
            text: TEXTS[random.random_range(0..TEXTS.len())],
            voice: random.random_range(0..large.voices.len()),
            requests: if is_stream {
                1
            } else {
                random.random_range(1..=4)
            },
            batch_size: random.random_range(1..=8),
            is_stream,
            seed: random.random(),
        };
        let planned = large.plan(run).peak_bytes;
        let minimum = large
            .plan(Run {
                batch_size: 1,
                ..run
            })
            .peak_bytes;
        // The range includes limits that are too low and limits that suffice for the whole batch.
        let limit_mb = random.random_range(minimum / 100 * 97..=planned / 100 * 103) >> 20;
        let generate = |limit_mb: u64| {
            let result = with_memory_limit(limit_mb, || large.generate(run));
            if let Ok(peak) = result {
                assert!(
                    peak <= limit_mb << 20,
                    "{run:?} used {peak} B with a limit of {limit_mb} MiB"
                );
            }
            result
        };
        match generate(limit_mb) {
            Ok(peak) => {
                finished += 1;
                println!("{index}: {run:?}, limit {limit_mb} MiB: peak {peak} B");
            }
            Err(Error::Core(CoreError::Memory(error @ MemoryError::LimitTooLow { .. }))) => {
                rejected += 1;
                println!("{index}: {run:?}, limit {limit_mb} MiB: {error}");
                let sufficient_mb = error.sufficient_limit_mb().unwrap();
                assert!(sufficient_mb > limit_mb);
                let peak = generate(sufficient_mb).expect("the reported limit suffices");
                println!("    limit {sufficient_mb} MiB: peak {peak} B");
            }
            Err(error) => panic!("{run:?} with a limit of {limit_mb} MiB: {error}"),
        }
    }
    println!("{rejected} rejected, {finished} finished");
    assert!(
        rejected > 0 && finished > 0,
        "the limits cover only one outcome"
    );
}

/// The prefix of the line that the child prints when it has loaded the model.
const LOADED: &str = "loaded:";

/// Loads the model, prints the memory use, and waits until its standard input is closed.
fn load_and_wait(folder: &Path) {
    assert!(ALLOCATOR.install());
    reset_peak_rss();
    let before = rss_bytes().unwrap_or(0);
    let model = LargeModel::load(folder).model;
    let peak = peak_rss_bytes().unwrap_or(0);
    let size = model.info().size;
    let prepared = size.flow_lm_bytes + size.decoder_bytes;
    println!(
        "{LOADED} {before} {peak} {} {prepared} {}",
        rss_bytes().unwrap_or(0),
        size.stored_bytes
    );
    let _ = std::io::stdin().read(&mut [0]);
    // Exits immediately: no process reads the output of the test harness.
    std::process::exit(0);
}

/// Checks that loading in a child process stores no weight twice. Returns the child, with the model loaded.
fn check_loading(folder: &Path) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "large_model_stays_within_memory_plans_and_limits",
            "--nocapture",
        ])
        .env(FOLDER_VARIABLE, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()))
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once(LOADED)?.1.to_owned()))
        .expect("the child loads the model");
    let figures: Vec<u64> = line
        .split_whitespace()
        .map(|figure| figure.parse().unwrap())
        .collect();
    let &[before, peak, after, prepared, stored] = &figures[..] else {
        panic!("{line}");
    };
    let config = Config::read(&BenchModel::English110M.files(folder).0).unwrap();
    let largest = expected_tensors(&config)
        .iter()
        .filter(|spec| spec.component != Component::VoiceEncoder)
        .map(|spec| (spec.shape.iter().product::<usize>() * size_of::<f32>()) as u64)
        .max()
        .unwrap();
    println!(
        "loading: RSS {before} B before, peak {peak} B, {after} B after; prepared {prepared} B, \
         stored {stored} B, largest tensor {largest} B"
    );
    if peak == 0 || before == 0 {
        eprintln!("the system does not report the RSS: loading was not measured");
        return child;
    }
    let used = peak.saturating_sub(before);
    assert!(
        used <= prepared + largest + SLACK_BYTES,
        "loading used {used} B, so a weight was stored twice"
    );
    assert!(
        prepared + stored > used + stored / 2,
        "the model is too small for the bound to detect a second copy"
    );
    child
}

/// Checks that this process and the child share memory, and ends the child.
fn check_shared_memory(child: &mut Child) {
    let figures = [child.id(), std::process::id()].map(|id| {
        let path = format!("/proc/{id}/smaps_rollup");
        let rollup = fs::read_to_string(&path).map_err(|error| eprintln!("{path}: {error}"));
        let rollup = rollup.unwrap_or_default();
        let kib = |key: &str| -> Option<u64> {
            let line = rollup.lines().find_map(|line| line.strip_prefix(key))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib << 10)
        };
        Some((kib("Rss:")?, kib("Pss:")?))
    });
    match figures {
        [Some((rss, pss)), Some((own_rss, own_pss))] => {
            println!(
                "child process: RSS {rss} B, PSS {pss} B; this process: RSS {own_rss} B, PSS {own_pss} B"
            );
            assert!(pss < rss, "the processes share no memory");
        }
        _ => eprintln!("the system does not report the PSS: sharing was not measured"),
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
