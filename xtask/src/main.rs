//! The checks and measurements of this workspace: `cargo xtask COMMAND`.
//!
//! The only workspace crate that it depends on is `bench-report`, so it works even if another crate does
//! not compile.

mod bench;
mod ci;
mod listen;
mod profile;
mod shell;
mod soak;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks and measurements of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run benchmark suites and print their reports.
    Bench(bench::Args),
    /// Run the checks, cheapest first, and stop at the first failure.
    Ci(ci::Args),
    /// Transcribe generated speech with a recogniser, and fail if too many words are wrong.
    Listen(listen::Args),
    /// Print the memory use of the program by phase and by category.
    Profile(profile::Args),
    /// Test the program's memory limits for a long time.
    Soak(soak::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Listen(args) => listen::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Soak(args) => soak::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
