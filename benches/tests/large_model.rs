//! The promises about memory on a model of the released ones' size: 110 M parameters, random weights. One
//! test in a binary of its own, because it counts every byte of the process and makes a file of 440 MB,
//! once.

use std::env;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use benches::{BenchModel, peak_rss_bytes, reset_peak_rss, rss_bytes};
use pocket_tts::Location;
use pocket_tts::memory::{
    MemoryPlan, PoolAllocator, get_memory_pool, optimize_model_memory, with_memory_limit,
};
use pocket_tts::{
    Audio, CoreError, DeviceKind, Error, GenerateOptions, LoadOptions, ModelSource, SpeechRequest,
    TtsModel, Voice,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tensor_pool::PeakWindow;
use tts_core::MemoryError;
use tts_core::memory::counted;
use tts_core::{Component, Config, expected_tensors};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// The folder of the model, for a child process.
const FOLDER: &str = "BENCHES_TEST_FOLDER";

/// Texts of one part each: short ones, since this model takes its time.
const TEXTS: [&str; 3] = [
    "So.",
    "So we go on.",
    "So we go on, and the sun is on a hill.",
];

/// How far a plan may be over what is taken.
const OVER_BYTES: u64 = 4 << 20;

/// Runs with a limit.
const RUNS: usize = 10;

/// Resident memory that a loaded model has beyond its weights: threads' stacks, the header, what the
/// program itself touches.
const SLACK_BYTES: u64 = 24 << 20;

/// Made once, also where several processes want it.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("110m-random");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    BenchModel::English110M.prepare(&folder).unwrap();
    folder
}

struct Large {
    model: TtsModel,
    /// A recorded one, and for some tests one that is cloned.
    voices: Vec<Voice>,
}

impl Large {
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

    /// Adds a voice that is nobody's, and drops the encoder that made it.
    fn clone_a_voice(&mut self) {
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
        vec![request.unwrap(); run.texts]
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

    /// The most that was counted meanwhile.
    fn speak(&self, run: Run) -> Result<u64, Error> {
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
        // Nothing was mapped meanwhile but what is now.
        Ok(window.peak_bytes().unwrap() + counted(&get_memory_pool()).mapped)
    }
}

/// Something to say.
#[derive(Clone, Copy, Debug)]
struct Run {
    text: &'static str,
    /// Its place among the model's.
    voice: usize,
    texts: usize,
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
fn a_large_model_keeps_what_was_promised() {
    if let Ok(folder) = env::var(FOLDER) {
        return load_and_wait(Path::new(&folder));
    }
    assert!(ALLOCATOR.install());
    let folder = folder();
    let mut other = loading_never_holds_a_weight_twice(&folder);
    let mut large = Large::load(&folder);
    what_a_second_process_adds(&mut other);
    a_plan_is_never_exceeded_and_hardly_too_cautious(&large);
    large.clone_a_voice();
    each_run_within_a_limit_is_refused_or_keeps_it(&large);
}

fn a_plan_is_never_exceeded_and_hardly_too_cautious(large: &Large) {
    for batch_size in [1, 4, 8] {
        let run = Run {
            text: TEXTS[2],
            voice: 0,
            texts: batch_size,
            batch_size,
            is_stream: false,
            seed: 1,
        };
        let plan = large.plan(run);
        let planned = plan.peak_bytes;
        let taken = large.speak(run).unwrap();
        println!("batch {batch_size}: planned {planned}, taken {taken}");
        assert!(taken <= planned, "more was taken than planned\n{plan}");
        let allowed = OVER_BYTES.max(taken / 10);
        assert!(
            planned.saturating_sub(taken) <= allowed,
            "the plan is too cautious\n{plan}"
        );
    }
}

fn each_run_within_a_limit_is_refused_or_keeps_it(large: &Large) {
    let mut random = ChaCha8Rng::seed_from_u64(110);
    let (mut refused, mut finished) = (0, 0);
    for index in 0..RUNS {
        let is_stream = random.random_bool(0.5);
        let run = Run {
            text: TEXTS[random.random_range(0..TEXTS.len())],
            voice: random.random_range(0..large.voices.len()),
            texts: if is_stream {
                1
            } else {
                random.random_range(1..=4)
            },
            batch_size: random.random_range(1..=8),
            is_stream,
            seed: random.random(),
        };
        let planned = large.plan(run).peak_bytes;
        let least = large
            .plan(Run {
                batch_size: 1,
                ..run
            })
            .peak_bytes;
        // From too small to ample.
        let limit = random.random_range(least / 100 * 97..=planned / 100 * 103) >> 20;
        let keeps = |limit: u64| {
            let spoken = with_memory_limit(limit, || large.speak(run));
            if let Ok(taken) = spoken {
                assert!(
                    taken <= limit << 20,
                    "{run:?} took {taken} within {limit} MB"
                );
            }
            spoken
        };
        match keeps(limit) {
            Ok(taken) => {
                finished += 1;
                println!("{index}: {run:?}, {limit} MB: at most {taken}");
            }
            Err(Error::Core(CoreError::Memory(error @ MemoryError::LimitTooLow { .. }))) => {
                refused += 1;
                println!("{index}: {run:?}, {limit} MB: {error}");
                let enough = error.sufficient_limit_mb().unwrap();
                assert!(enough > limit);
                let taken = keeps(enough).expect("a limit that would do");
                println!("    {enough} MB: at most {taken}");
            }
            Err(error) => panic!("{run:?} within {limit} MB: {error}"),
        }
    }
    println!("{refused} refused, {finished} finished");
    assert!(refused > 0 && finished > 0, "the limits are one-sided");
}

/// What a child says when it has loaded the model.
const LOADED: &str = "loaded:";

/// Loads the model, says what that took, and waits until nobody listens any more.
fn load_and_wait(folder: &Path) {
    assert!(ALLOCATOR.install());
    reset_peak_rss();
    let before = rss_bytes().unwrap_or(0);
    let model = Large::load(folder).model;
    let peak = peak_rss_bytes().unwrap_or(0);
    let size = model.info().size;
    let prepared = size.flow_lm_bytes + size.decoder_bytes;
    println!(
        "{LOADED} {before} {peak} {} {prepared} {}",
        rss_bytes().unwrap_or(0),
        size.stored_bytes
    );
    let _ = std::io::stdin().read(&mut [0]);
    // At once: nobody listens to what the harness would say.
    std::process::exit(0);
}

/// A second process with the model loaded, alive.
fn loading_never_holds_a_weight_twice(folder: &Path) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "a_large_model_keeps_what_was_promised",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()))
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once(LOADED)?.1.to_owned()))
        .expect("the child loads the model");
    let figures: Vec<u64> = said
        .split_whitespace()
        .map(|figure| figure.parse().unwrap())
        .collect();
    let &[before, peak, after, prepared, stored] = &figures[..] else {
        panic!("{said}");
    };
    let config = Config::read(&BenchModel::English110M.files(folder).0).unwrap();
    let largest = expected_tensors(&config)
        .iter()
        .filter(|spec| spec.component != Component::VoiceEncoder)
        .map(|spec| (spec.shape.iter().product::<usize>() * size_of::<f32>()) as u64)
        .max()
        .unwrap();
    println!(
        "loading: resident {before} before, {peak} at most, {after} after; prepared {prepared}, \
         stored {stored}, largest tensor {largest}"
    );
    if peak == 0 || before == 0 {
        eprintln!("the system does not tell what is resident: loading was not measured");
        return child;
    }
    let taken = peak.saturating_sub(before);
    assert!(
        taken <= prepared + largest + SLACK_BYTES,
        "loading took {taken}: some weight was there twice"
    );
    assert!(
        prepared + stored > taken + stored / 2,
        "the bound says nothing"
    );
    child
}

fn what_a_second_process_adds(other: &mut Child) {
    let figures = [other.id(), std::process::id()].map(|id| {
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
                "a second process: resident {rss}, of which its share is {pss}; this one: {own_rss}, {own_pss}"
            );
            assert!(pss < rss, "nothing is shared");
        }
        _ => eprintln!("the system does not tell what is shared: it was not measured"),
    }
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
}
