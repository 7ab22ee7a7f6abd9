//! The workspace's own checks and measurements: `cargo xtask COMMAND`.
//!
//! This program depends on no crate of the workspace: it looks at them from outside, as cargo and a
//! user do, and works while one of them does not compile.

mod bench;
mod ci;
mod listen;
mod profile;
mod program;
mod python;
mod shell;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The workspace's own checks and measurements.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure how fast the crates are.
    Bench(bench::Args),
    /// Run the checks, cheapest first, and stop at the first that fails.
    Ci(ci::Args),
    /// Let the program speak and a recogniser write down what it hears; fail if it hears too little.
    Listen(listen::Args),
    /// Record what memory the program takes to speak, by phase and by part.
    Profile(profile::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Listen(args) => listen::run(&args),
        Command::Profile(args) => profile::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
