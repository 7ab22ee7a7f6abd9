//! The program `pocket-tts`: speech from text on the command line.

mod args;
mod export_voice;
mod figures;
mod generate;
mod info;
mod model;
mod output;
mod plan;
mod progress;
mod settings;
mod speech;
mod text;
mod voices;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use pocket_tts::memory::{self, PoolAllocator};
use pocket_tts::{CoreError, Error, ThreadsError};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use args::{Cli, Command};

/// Large blocks are kept for the next frame, and counted.
#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// The command could not be understood; clap's own choice too.
const USAGE_ERROR: u8 = 2;

/// Where the summary of memory comes from.
const SUMMARY_TARGET: &str = "pocket_tts::memory";

/// Whose spans are phases of a profile; other libraries have spans too.
const PHASE_TARGETS: [&str; 2] = ["tts_core", "pocket_tts"];

fn main() -> ExitCode {
    // It is the allocator of the static above and the first: there is nothing to refuse.
    let _ = ALLOCATOR.install();
    // All weights are read for every frame.
    ALLOCATOR.set_huge_pages(true);
    silence_caught_panics();
    let cli = Cli::parse();
    run(&cli.command).unwrap_or_else(|error| report(&error))
}

/// Runs a command with its memory watched, if that is asked for.
fn run(command: &Command) -> Result<ExitCode> {
    let settings = settings::settings(command.model().map(|model| &model.memory))?;
    listen(command.quiet(), settings.profiling);
    let session = memory::init(settings)?;
    let result = execute(command);
    // The profile of a command that fails is the one that is needed most.
    match (result, session.finish()) {
        (Ok(_), Err(unwritten)) => Err(unwritten.into()),
        (Err(error), Err(unwritten)) => {
            report(&unwritten.into());
            Err(error)
        }
        (result, Ok(_)) => result,
    }
}

fn execute(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Generate(args) => generate::run(args),
        Command::Voices(args) => voices::run(args),
        Command::ExportVoice(args) => export_voice::run(args),
        Command::Info(args) => info::run(args),
        Command::Memory(args) => plan::run(args),
    }
}

/// Tells what went wrong, with its causes, and chooses the exit code.
fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        let _ = error.print();
        return ExitCode::from(USAGE_ERROR);
    }
    let mut message = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Most messages tell their cause themselves.
        if !message.contains(&cause) {
            message.push_str("\n  caused by: ");
            message.push_str(&cause);
        }
    }
    // Where even this cannot be written, the exit code is all that is left.
    let _ = writeln!(io::stderr(), "{message}");
    match error.downcast_ref::<Error>() {
        Some(Error::Core(
            CoreError::Setting { .. } | CoreError::Threads(ThreadsError::Count { .. }),
        )) => ExitCode::from(USAGE_ERROR),
        _ => ExitCode::FAILURE,
    }
}

/// Shows warnings and, with profiling, the summary of memory; and gives phases to the profile.
fn listen(quiet: bool, profiling: bool) {
    let shown = match (quiet, profiling) {
        (true, _) => Targets::new().with_default(LevelFilter::ERROR),
        (false, false) => Targets::new().with_default(LevelFilter::WARN),
        (false, true) => Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target(SUMMARY_TARGET, LevelFilter::INFO),
    };
    let messages = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .without_time()
        .with_filter(shown);
    let phases = profiling.then(|| {
        let ours = PHASE_TARGETS.map(|target| (target, LevelFilter::DEBUG));
        memory::span_layer().with_filter(Targets::new().with_targets(ours))
    });
    Registry::default().with(messages).with(phases).init();
}

/// The decoder of audio files panics on some damaged ones. That is caught and told as an ordinary
/// error, so that its own message would only confuse.
fn silence_caught_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_caught = panic
            .location()
            .is_some_and(|location| location.file().contains("symphonia"));
        if !is_caught {
            usual(panic);
        }
    }));
}
