//! `cargo xtask soak`: long tests of the program's memory limits.

mod group;
mod limits;
mod limits_case;
mod process;
mod recordings;
mod refusal;
mod rlimits;
mod texts;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::shell::build_program;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program to test. [default: the release program, which is built first]
    #[arg(long, value_name = "FILE", global = true)]
    program: Option<PathBuf>,
    #[command(subcommand)]
    soak: Option<Soak>,
}

#[derive(Debug, Subcommand)]
enum Soak {
    /// Sweep the limits of the operating system and --memory-limit: speech or a refusal, never an abort.
    Rlimits(rlimits::Args),
    /// Speak random texts with random voices within random limits, and check each peak.
    Limits(limits::Args),
}

/// Runs one soak, or lists them.
///
/// # Errors
///
/// The program does not build, or it failed under a limit; the message has each command and its outcome.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(soak) = &args.soak else {
        println!("rlimits  sweeps the limits of the operating system and --memory-limit");
        println!("limits   speaks random texts with random voices within random limits");
        return Ok(());
    };
    let program = match &args.program {
        Some(program) => program.canonicalize()?,
        None => build_program(&[])?,
    };
    match soak {
        Soak::Rlimits(args) => rlimits::run(&program, args),
        Soak::Limits(args) => limits::run(&program, args),
    }
}

/// Runs a short version of each soak, with fixed seeds.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn short() -> Result<()> {
    let program = build_program(&[])?;
    rlimits::run(&program, &rlimits::Args::short())?;
    limits::run(&program, &limits::Args::short())
}
