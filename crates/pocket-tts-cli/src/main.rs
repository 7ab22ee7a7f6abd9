//! The program `pocket-tts`: speech from text on the command line.

mod args;
mod export_voice;
mod figures;
mod generate;
mod info;
mod interrupt;
mod model;
mod out_of_memory;
mod output;
mod plan;
mod progress;
mod settings;
mod speech;
mod table;
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
use interrupt::{INTERRUPTED, Interrupt};

/// Retains large blocks for the next frame, and counts live bytes.
#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Exit code of invalid arguments; clap uses the same code.
const USAGE_ERROR: u8 = 2;

/// The log target of the memory summary.
const SUMMARY_TARGET: &str = "pocket_tts::memory";

/// The targets whose spans are phases of a profile.
const PHASE_TARGETS: [&str; 2] = ["tts_core", "pocket_tts"];

fn main() -> ExitCode {
    // Cannot fail: this is the global allocator, and no other one was installed.
    let _ = ALLOCATOR.install();
    out_of_memory::end_with_message(&ALLOCATOR);
    // Every frame reads all weights, so huge pages save TLB misses.
    ALLOCATOR.enable_huge_pages();
    silence_caught_panics();
    let cli = Cli::parse();
    run(&cli.command).unwrap_or_else(|error| report(&error))
}

/// Runs a command, with memory profiling if it is enabled.
fn run(command: &Command) -> Result<ExitCode> {
    let settings = settings::settings(command.model().map(|model| &model.memory))?;
    init_logging(command.quiet(), settings.profiling);
    let session = memory::init(settings)?;
    let result = start(command);
    // A failed command writes its profile too.
    match (result, session.finish()) {
        (Ok(_), Err(profile)) => Err(profile.into()),
        (Err(error), Err(profile)) => {
            report(&profile.into());
            Err(error)
        }
        (result, Ok(_)) => result,
    }
}

/// Runs a command if there is room for it, and handles Ctrl-C.
fn start(command: &Command) -> Result<ExitCode> {
    if command.model().is_some() {
        out_of_memory::check_room()?;
    }
    let interrupt = Interrupt::install()?;
    match execute(command, &interrupt) {
        // The user knows that it was interrupted.
        Err(_) if interrupt.is_cancelled() => Ok(ExitCode::from(INTERRUPTED)),
        result => result,
    }
}

fn execute(command: &Command, interrupt: &Interrupt) -> Result<ExitCode> {
    match command {
        Command::Generate(args) => generate::run(args, interrupt),
        Command::Voices(args) => voices::run(args),
        Command::ExportVoice(args) => export_voice::run(args, interrupt.token()),
        Command::Info(args) => info::run(args),
        Command::Memory(args) => plan::run(args, interrupt),
    }
}

/// Prints an error with its sources, and returns the exit code.
fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        let _ = error.print();
        return ExitCode::from(USAGE_ERROR);
    }
    // If standard error is closed, only the exit code reports the error.
    let _ = writeln!(io::stderr(), "error: {error:#}");
    match error.downcast_ref::<Error>() {
        Some(Error::Core(
            CoreError::Setting { .. } | CoreError::Threads(ThreadsError::Count { .. }),
        )) => ExitCode::from(USAGE_ERROR),
        _ => ExitCode::FAILURE,
    }
}

/// Prints log messages to standard error, and passes spans to the memory profile.
fn init_logging(quiet: bool, profiling: bool) {
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

/// Suppresses the message of panics in the audio decoder. It panics on some damaged files; the panic is
/// caught and reported as an ordinary error.
fn silence_caught_panics() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_caught = panic
            .location()
            .is_some_and(|location| location.file().contains("symphonia"));
        if !is_caught {
            default_hook(panic);
        }
    }));
}
