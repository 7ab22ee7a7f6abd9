//! `cargo xtask ci`: all checks, cheapest first.

mod dependencies;
mod guide;
mod modules;
mod packages;
mod readme;
mod sources;
mod valgrind;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::listen;
use crate::shell::{cargo, python_environment, run as execute, target_folder, workspace_root};
use crate::soak;

/// The features of all devices, so that one build tests every device, and the feature `futures`.
const ALL_FEATURES: &str = "flex,ndarray,wgpu,futures";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Steps to run, in the usual order. [default: all]
    #[arg(value_enum)]
    steps: Vec<Step>,
    /// Skip this step. Can be given more than once.
    #[arg(long, value_enum, value_name = "STEP")]
    skip: Vec<Step>,
    /// Print the steps and exit.
    #[arg(long)]
    list: bool,
}

/// A check. The steps run in the order of their declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// The code is formatted.
    Fmt,
    /// tts-core uses no environment and no network, and no file names a path of one machine.
    Sources,
    /// The README's first two commands are the ones that these checks use.
    Readme,
    /// The memory guide has all of its programs, and the tests run them.
    Guide,
    /// No text has a common misspelling.
    Spelling,
    /// No crate has a forbidden dependency.
    Dependencies,
    /// No module of tts-core refers to a module above it.
    Modules,
    /// Every package can be packed, with its licences, README and metadata.
    Packages,
    /// The packages that support an older Rust than the workspace compile with it.
    RustVersions,
    /// Clippy reports no warning, with all devices.
    Clippy,
    /// The documentation builds without warnings.
    Doc,
    /// The tests of the workspace pass with the README's command.
    TestFlex,
    /// The library tests pass on every device.
    TestDevices,
    /// leak-detect passes its tests with all features, one minute of moving handles among them.
    LeakStress,
    /// The original mprof reads the monitor's recordings.
    Mprof,
    /// The lock-free types are correct in every interleaving of threads.
    Loom,
    /// Valgrind finds no memory error in the tests of unsafe code.
    Valgrind,
    /// The program speaks or refuses within limits: a short version of `cargo xtask soak`.
    Soak,
    /// A recogniser understands the generated speech.
    Listen,
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value()
            .expect("no step is hidden")
            .get_name()
            .to_owned()
    }

    fn purpose(self) -> String {
        let value = self.to_possible_value().expect("no step is hidden");
        value
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    fn run(self) -> Result<()> {
        match self {
            Self::Fmt => {
                execute(&mut cargo("fmt --all --check"))?;
                execute(&mut cargo("fmt --check --manifest-path fuzz/Cargo.toml"))
            }
            Self::Sources => sources::check(),
            Self::Readme => readme::check(),
            Self::Guide => guide::check(),
            Self::Spelling => spelling(),
            Self::Dependencies => dependencies::check(),
            Self::Modules => modules::check(),
            Self::Packages => packages::check(),
            Self::RustVersions => packages::check_rust_versions(),
            Self::Clippy => execute(
                cargo("clippy --workspace --all-targets --features")
                    .arg(ALL_FEATURES)
                    .args(["--", "-D", "warnings"]),
            ),
            Self::Doc => execute(
                cargo("doc --workspace --no-deps --features")
                    .arg(ALL_FEATURES)
                    .env("RUSTDOCFLAGS", "-D warnings"),
            ),
            Self::TestFlex => execute(&mut cargo(readme::TEST.trim_start_matches("cargo "))),
            Self::TestDevices => execute(
                cargo(
                    "test --package tensor-pool --package tts-core --package pocket-tts --features",
                )
                .arg(ALL_FEATURES),
            ),
            Self::LeakStress => execute(
                cargo("test --package leak-detect --release --all-features")
                    .env("LEAK_DETECT_STRESS_SECONDS", "60"),
            ),
            Self::Mprof => {
                let folder = "crates/mem-monitor/tests/mprof";
                let python =
                    python_environment(None, "mprof-venv", &format!("{folder}/requirements.txt"))?;
                let check = workspace_root().join(folder).join("check.py");
                // `-B`: Python writes no bytecode beside the script.
                execute(
                    Command::new(python)
                        .arg("-B")
                        .arg(check)
                        .current_dir(workspace_root()),
                )
            }
            // A separate target folder: loom's compiler flag would invalidate the usual one.
            Self::Loom => execute(
                cargo("test --package tensor-pool --lib --release --target-dir")
                    .arg(target_folder()?.join("loom"))
                    .arg("loom")
                    .env("RUSTFLAGS", "--cfg loom"),
            ),
            Self::Valgrind => valgrind::run(),
            Self::Soak => soak::short(),
            Self::Listen => listen::run(&listen::Args::default()),
        }
    }
}

/// Runs the selected steps.
///
/// # Errors
///
/// Returns the error of the first step that fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for step in Step::value_variants() {
            println!("{:14} {}", step.name(), step.purpose());
        }
        return Ok(());
    }
    let selected = |step: &&Step| {
        (args.steps.is_empty() || args.steps.contains(step)) && !args.skip.contains(step)
    };
    let mut times = Vec::new();
    for step in Step::value_variants().iter().filter(selected) {
        let name = step.name();
        println!("\n== {name}: {}", step.purpose());
        let start = Instant::now();
        let result = step.run();
        let time = start.elapsed();
        result.with_context(|| {
            format!(
                "step {name} failed after {}; to run only this step: cargo xtask ci {name}",
                seconds(time)
            )
        })?;
        println!("== {name}: passed in {}", seconds(time));
        times.push((name, time));
    }
    println!();
    for (name, time) in &times {
        println!("{name:14} {:>9}", seconds(*time));
    }
    println!("steps: {} passed, 0 failed", times.len());
    Ok(())
}

/// Checks every text file with the spelling checker `typos`, as `typos.toml` configures it.
fn spelling() -> Result<()> {
    let python = python_environment(None, "typos-venv", "xtask/spelling/requirements.txt")?;
    let typos = python.with_file_name("typos");
    execute(Command::new(typos).current_dir(workspace_root()))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
