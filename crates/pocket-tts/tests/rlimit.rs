//! Where the system gives a process no more than its limit and a little, a program that knows its limit
//! speaks to the end, and the same program without one dies.
//!
//! Each child is this program again, with a part to play. `RLIMIT_DATA` counts what a process may write
//! of its own, touched or not: heap, data and the stacks of threads.
#![cfg(target_os = "linux")]

use std::env;
use std::process::{Command, Output};

use pocket_tts::memory::{
    PoolAllocator, Settings, get_memory_pool, init, memory_efficient_context,
};
use pocket_tts::{GenerateOptions, LoadOptions, ModelSource, TtsModel};
use tensor_pool::PeakWindow;
use tts_core::memory::counted;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// The limit on counted bytes: the model, and a few parts of a text at once.
const LIMIT_MB: u64 = 64;

/// What the system gives beyond it: stacks of threads, what the allocators keep, and data of the program.
const BEYOND: u64 = 32 << 20;

/// Parts of the text, all of which the children want to speak at once. The limit allows fewer.
const BATCH_SIZE: usize = 20;

/// How far from the system's limit both outcomes are, so that another thread or another allocator's
/// habits do not decide.
const MARGIN: u64 = 8 << 20;

const SENTENCE: &str = "The sun is on a hill and we go to it, for there is a tree, and under the tree a stone that is warm. ";

/// Which part a child plays.
const PART: &str = "POCKET_TTS_TEST_PART";

/// The most that the system gives it, in bytes, if that is limited.
const DATA_LIMIT: &str = "POCKET_TTS_TEST_DATA_LIMIT";

/// What a child says when it has, before its figures.
const SPOKEN: &str = "spoken:";

/// Plays the part that the environment names, if it names one; of its own it is no test.
#[test]
fn part_of_a_child_process() {
    let Ok(part) = env::var(PART) else { return };
    assert!(ALLOCATOR.install());
    if let Ok(limit) = env::var(DATA_LIMIT) {
        limit_data(limit.parse().unwrap());
    }
    let window = PeakWindow::new();
    let is_on = part == "on";
    let mut settings = Settings::default();
    if !is_on {
        ALLOCATOR.set_capacity(0);
        settings.pool_size = 0;
    }
    let _session = init(settings).unwrap();
    let _context = memory_efficient_context(is_on.then_some(LIMIT_MB));
    let options = LoadOptions {
        // A thread more is a stack more.
        threads: Some(2),
        optimize_memory: is_on,
        ..LoadOptions::default()
    };
    let model = TtsModel::load(ModelSource::BuiltIn, options).unwrap();
    let voice = model.default_voice().unwrap();
    let options = GenerateOptions {
        seed: Some(1),
        batch_size: Some(BATCH_SIZE),
        ..GenerateOptions::default()
    };
    let text = SENTENCE.repeat(BATCH_SIZE);
    let audio = match model.generate(&voice, &text, &options) {
        Ok(audio) => audio,
        // No panic: its message may need more memory than there is.
        Err(error) => {
            eprintln!("out of memory: {error}");
            std::process::exit(1);
        }
    };
    let counted = window.peak_bytes().unwrap() + counted(&get_memory_pool()).mapped;
    println!(
        "{SPOKEN} {:.1} s, at most {counted} bytes counted",
        audio.duration().as_secs_f64()
    );
}

fn limit_data(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the pointer is to a limit that lives as long as the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// What a child says of its speech; `None` if it came to no end.
fn child(part: &str, data_limit: Option<u64>) -> Option<String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "part_of_a_child_process", "--nocapture"])
        .args(["--test-threads", "1"])
        .env(PART, part)
        .env_remove(DATA_LIMIT)
        // Nor for a backtrace.
        .env("RUST_BACKTRACE", "0");
    if let Some(limit) = data_limit {
        command.env(DATA_LIMIT, limit.to_string());
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stdout);
    let spoken = said
        .lines()
        .find_map(|line| Some(line.split_once(SPOKEN)?.1.trim().to_owned()));
    let limited = data_limit.map_or("no limit".to_owned(), |limit| limit.to_string());
    match &spoken {
        Some(spoken) => println!("{part}, {limited}: {spoken}"),
        None => {
            let end = String::from_utf8_lossy(&stderr);
            let why = end
                .lines()
                .rfind(|line| line.contains("memory") || line.contains("panicked"));
            println!(
                "{part}, {limited}: {status}, {}",
                why.unwrap_or("without a word")
            );
        }
    }
    assert_eq!(spoken.is_some(), status.success(), "{said}");
    spoken
}

#[test]
fn within_its_limit_a_program_lives_where_without_one_it_dies() {
    let data_limit = (LIMIT_MB << 20) + BEYOND;
    assert!(
        child("off", None).is_some(),
        "nothing but memory keeps it from speaking"
    );
    // With less, and so with this much too.
    assert!(
        child("on", Some(data_limit - MARGIN)).is_some(),
        "with the limit it speaks"
    );
    // With more, and so with no more than this either.
    assert!(
        child("off", Some(data_limit + MARGIN)).is_none(),
        "without it there is no room, or the test shows nothing"
    );
}
