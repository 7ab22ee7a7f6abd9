//! The program `pocket-tts`: speech from text on the command line.

mod args;
mod export_voice;
mod figures;
mod generate;
mod info;
mod model;
mod output;
mod progress;
mod text;
mod voices;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use pocket_tts::memory::PoolAllocator;
use pocket_tts::{CoreError, Error};

/// Large blocks are kept for the next frame, and counted.
#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// The command could not be understood; clap's own choice too.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    // It is the allocator of the static above and the first: there is nothing to refuse.
    let _ = ALLOCATOR.install();
    // All weights are read for every frame.
    ALLOCATOR.set_huge_pages(true);
    silence_caught_panics();
    let cli = Cli::parse();
    show_warnings(cli.command.quiet());
    let result = match cli.command {
        Command::Generate(args) => generate::run(&args),
        Command::Voices(args) => voices::run(&args),
        Command::ExportVoice(args) => export_voice::run(&args),
        Command::Info(args) => info::run(&args),
    };
    result.unwrap_or_else(|error| report(&error))
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
        Some(Error::Core(CoreError::Setting { .. })) => ExitCode::from(USAGE_ERROR),
        _ => ExitCode::FAILURE,
    }
}

fn show_warnings(quiet: bool) {
    tracing_subscriber::fmt()
        .with_max_level(if quiet {
            tracing::Level::ERROR
        } else {
            tracing::Level::WARN
        })
        .with_writer(io::stderr)
        .with_target(false)
        .without_time()
        .init();
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
