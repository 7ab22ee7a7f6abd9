//! `cargo xtask ci`: every check, cheapest first.

mod dependencies;
mod guide;
mod readme;
mod sources;
mod valgrind;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::listen;
use crate::python::environment;
use crate::shell::{cargo, run as execute, target_folder, workspace_root};

/// Every device at once, so that one build serves all of them.
const ALL_DEVICES: &str = "flex,ndarray,wgpu";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these, in the usual order. [default: all]
    #[arg(value_enum)]
    steps: Vec<Step>,
    /// Leave one out; may be given more than once.
    #[arg(long, value_enum, value_name = "STEP")]
    skip: Vec<Step>,
    /// Print the steps and what each checks.
    #[arg(long)]
    list: bool,
}

/// One check. Their order here is the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// The code is formatted.
    Fmt,
    /// No source reads what it must not, and none names a place on one machine.
    Sources,
    /// The README's two commands are those that these checks build and test with.
    Readme,
    /// The memory guide has all of its programs, and the tests run each.
    Guide,
    /// No crate depends on what it must never know.
    Dependencies,
    /// No lint warns, with every device.
    Clippy,
    /// The documentation builds without a warning.
    Doc,
    /// The tests of the whole workspace pass, as the README runs them.
    TestFlex,
    /// The library's tests pass on every device.
    TestDevices,
    /// Cycles are found, and none is invented, while other threads move handles for a minute.
    LeakStress,
    /// The original mprof reads what the monitor records.
    Mprof,
    /// Every interleaving of threads on the small lock-free types is right.
    Loom,
    /// Unsafe code reads and writes only what is its own.
    Valgrind,
    /// A recogniser understands what the program says.
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
            Self::Dependencies => dependencies::check(),
            Self::Clippy => execute(
                cargo("clippy --workspace --all-targets --features")
                    .arg(ALL_DEVICES)
                    .args(["--", "-D", "warnings"]),
            ),
            Self::Doc => execute(
                cargo("doc --workspace --no-deps --features")
                    .arg(ALL_DEVICES)
                    .env("RUSTDOCFLAGS", "-D warnings"),
            ),
            Self::TestFlex => execute(&mut cargo(readme::TEST.trim_start_matches("cargo "))),
            Self::TestDevices => execute(
                cargo(
                    "test --package tensor-pool --package tts-core --package pocket-tts --features",
                )
                .arg(ALL_DEVICES),
            ),
            Self::LeakStress => execute(
                cargo("test --package leak-detect --release --test stress")
                    .env("LEAK_DETECT_STRESS_SECONDS", "60"),
            ),
            Self::Mprof => {
                let folder = "crates/mem-monitor/tests/mprof";
                let python =
                    environment(None, "mprof-venv", &format!("{folder}/requirements.txt"))?;
                let check = workspace_root().join(folder).join("check.py");
                // Nothing is to be left beside the script.
                execute(
                    Command::new(python)
                        .arg("-B")
                        .arg(check)
                        .current_dir(workspace_root()),
                )
            }
            // Its own folder: loom's flag would have everything built anew, here and there.
            Self::Loom => execute(
                cargo("test --package tensor-pool --lib --release --target-dir")
                    .arg(target_folder()?.join("loom"))
                    .arg("loom")
                    .env("RUSTFLAGS", "--cfg loom"),
            ),
            Self::Valgrind => valgrind::run(),
            Self::Listen => listen::run(&listen::Args::default()),
        }
    }
}

/// Runs the chosen steps.
///
/// # Errors
///
/// The first step that fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for step in Step::value_variants() {
            println!("{:14} {}", step.name(), step.purpose());
        }
        return Ok(());
    }
    let chosen = |step: &&Step| {
        (args.steps.is_empty() || args.steps.contains(step)) && !args.skip.contains(step)
    };
    let mut times = Vec::new();
    for step in Step::value_variants().iter().filter(chosen) {
        let name = step.name();
        println!("\n== {name}: {}", step.purpose());
        let start = Instant::now();
        let result = step.run();
        let time = start.elapsed();
        result.with_context(|| {
            format!(
                "step {name} failed after {}; to run it alone: cargo xtask ci {name}\ncaused by",
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

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
