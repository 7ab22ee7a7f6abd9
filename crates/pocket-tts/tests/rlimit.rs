//! Under a system limit, a program speaks to the end, with a memory limit slightly below it and without one.
//! Without a system limit, the same speech takes more memory.
//!
//! Each child process is this test binary with a mode. `RLIMIT_DATA` counts writable private memory,
//! touched or not: heap, data and thread stacks.
#![cfg(target_os = "linux")]

use std::env;
use std::process::{Command, Output};

use bytesize::ByteSize;
use pocket_tts::memory::{
    PoolAllocator, Settings, get_memory_ledger, init, memory_efficient_context,
};
use pocket_tts::{GenerateOptions, LoadOptions, ModelSource, TtsModel};
use tensor_pool::PeakWindow;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

const MIB: u64 = 1 << 20;

/// Batch size whose planned peak is the memory limit.
const LIMITED_BATCH_SIZE: usize = 3;

/// System limit beyond the memory limit: thread stacks, retained blocks, and data of the program.
const BEYOND_BYTES: u64 = 32 * MIB;

/// Distance of the outcomes from the system limit, so that another thread or another allocator's
/// behaviour does not change them.
const MARGIN_BYTES: u64 = 8 * MIB;

const SENTENCE: &str = "The sun is on a hill and we go to it, for there is a tree, and under the tree a stone that is warm. ";

/// Mode of a child process: with a memory limit or without one.
const MODE: &str = "POCKET_TTS_TEST_MODE";
const LIMITED: &str = "limited";
const UNLIMITED: &str = "unlimited";

/// Memory limit of a child in MB.
const LIMIT_MB: &str = "POCKET_TTS_TEST_LIMIT_MB";

/// Requested batch size of a child, which is also the number of segments.
const BATCH_SIZE: &str = "POCKET_TTS_TEST_BATCH_SIZE";

/// System limit of a child in bytes, if it has one.
const DATA_LIMIT: &str = "POCKET_TTS_TEST_DATA_LIMIT";

/// Printed by a child before its figures.
const SPOKEN: &str = "spoken:";

/// Runs as a child process if the environment sets a mode; otherwise this test does nothing.
#[test]
fn child_process() {
    let Ok(mode) = env::var(MODE) else { return };
    let number = |name: &str| env::var(name).unwrap().parse::<u64>().unwrap();
    assert!(ALLOCATOR.install());
    if env::var_os(DATA_LIMIT).is_some() {
        limit_data(number(DATA_LIMIT));
    }
    let window = PeakWindow::new();
    let limited = mode == LIMITED;
    let mut settings = Settings::default();
    if !limited {
        ALLOCATOR.set_capacity(Default::default());
        settings = settings.with_pool_size(0);
    }
    let _session = init(settings).unwrap();
    let _context = memory_efficient_context(limited.then(|| number(LIMIT_MB)));
    let model = load(limited);
    let voice = model.default_voice().unwrap();
    let batch_size = number(BATCH_SIZE) as usize;
    let text = SENTENCE.repeat(batch_size);
    let audio = match model.generate(&voice, &text, &options(batch_size)) {
        Ok(audio) => audio,
        // A panic message may need more memory than there is.
        Err(error) => {
            eprintln!("out of memory: {error}");
            std::process::exit(1);
        }
    };
    let counted = window.peak_bytes().unwrap() + get_memory_ledger().counted().mapped_bytes;
    println!(
        "{SPOKEN} {:.1} s, counted peak {counted}",
        audio.duration().as_secs_f64()
    );
}

fn load(optimize_memory: bool) -> TtsModel {
    // Each thread needs a stack.
    let mut options = LoadOptions::default().with_threads(2);
    options.optimize_memory = optimize_memory;
    TtsModel::load(ModelSource::BuiltIn, options).unwrap()
}

fn options(batch_size: usize) -> GenerateOptions {
    GenerateOptions::default()
        .with_seed(1)
        .with_batch_size(batch_size)
}

fn limit_data(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the pointer is valid for the duration of the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Memory limit and batch size of the children.
struct Case {
    limit_mb: u64,
    batch_size: usize,
}

impl Case {
    /// Derives a limit from the plan of a small batch, and a batch size whose plan exceeds the system
    /// limit by twice the margin.
    fn planned() -> Self {
        let model = load(true);
        let voice = model.default_voice().unwrap();
        let peak_bytes = |batch_size: usize| {
            let text = SENTENCE.repeat(batch_size);
            let plan = model.plan_memory(&voice, &text, &options(batch_size));
            plan.unwrap().peak_bytes
        };
        let limit_mb = peak_bytes(LIMITED_BATCH_SIZE).div_ceil(MIB);
        let too_much = limit_mb * MIB + BEYOND_BYTES + 2 * MARGIN_BYTES;
        let batch_size = (LIMITED_BATCH_SIZE..).find(|&size| peak_bytes(size) > too_much);
        Self {
            limit_mb,
            batch_size: batch_size.unwrap(),
        }
    }

    fn data_limit_bytes(&self) -> u64 {
        self.limit_mb * MIB + BEYOND_BYTES
    }

    /// Runs a child and returns its figures; `None` if it did not speak to the end.
    fn run_child(&self, mode: &str, data_limit_bytes: Option<u64>) -> Option<String> {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "child_process", "--nocapture"])
            .args(["--test-threads", "1"])
            .env(MODE, mode)
            .env(LIMIT_MB, self.limit_mb.to_string())
            .env(BATCH_SIZE, self.batch_size.to_string())
            .env_remove(DATA_LIMIT)
            // A backtrace may need more memory than there is.
            .env("RUST_BACKTRACE", "0");
        if let Some(bytes) = data_limit_bytes {
            command.env(DATA_LIMIT, bytes.to_string());
        }
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let stdout = String::from_utf8_lossy(&stdout);
        let figures = stdout
            .lines()
            .find_map(|line| Some(line.split_once(SPOKEN)?.1.trim().to_owned()));
        let limit = data_limit_bytes.map_or("no system limit".to_owned(), |bytes| {
            format!("system limit {}", ByteSize::b(bytes))
        });
        match &figures {
            Some(figures) => println!("{mode}, {limit}: {figures}"),
            None => {
                let stderr = String::from_utf8_lossy(&stderr);
                let reason = stderr
                    .lines()
                    .rfind(|line| line.contains("memory") || line.contains("panicked"));
                println!(
                    "{mode}, {limit}: {status}, {}",
                    reason.unwrap_or("no message")
                );
            }
        }
        assert_eq!(figures.is_some(), status.success(), "{stdout}");
        figures
    }
}

/// Returns the counted peak in a child's figures.
fn counted_peak(figures: &str) -> u64 {
    let (_, bytes) = figures.rsplit_once(' ').expect("the peak comes last");
    bytes.parse().expect("the peak is a number")
}

#[test]
fn speech_stays_within_a_system_limit_with_and_without_a_memory_limit() {
    let case = Case::planned();
    let data_limit = case.data_limit_bytes();
    println!("limit {} MB, batch size {}", case.limit_mb, case.batch_size);
    let free = case.run_child(UNLIMITED, None);
    let free = free.expect("speaks without a system limit");
    assert!(
        counted_peak(&free) > data_limit + MARGIN_BYTES,
        "needs more than the system limit where there is none, or the test proves nothing"
    );
    // Succeeds with less than the system limit, and so with the system limit.
    assert!(
        case.run_child(LIMITED, Some(data_limit - MARGIN_BYTES))
            .is_some(),
        "speaks with a memory limit"
    );
    // The batch size follows from the system limit.
    assert!(
        case.run_child(UNLIMITED, Some(data_limit + MARGIN_BYTES))
            .is_some(),
        "speaks without a memory limit"
    );
}
