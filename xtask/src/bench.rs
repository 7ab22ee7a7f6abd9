//! `cargo xtask bench`: runs the benchmark suites and prints their reports.

mod allocation;
mod display;
mod memory;
mod speed;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use bench_report::speed::{Case, Reference};
use clap::ValueEnum;
use serde::de::DeserializeOwned;

use crate::shell::{cargo, output, run as execute, target_folder, workspace_root};

/// Measured repetitions of the Python package, after a warm-up.
const REFERENCE_REPEATS: usize = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Suites to run. [default: all]
    #[arg(value_enum)]
    suites: Vec<Suite>,
    /// Also measure the Python package `pocket-tts`, which this Python must have installed (suites
    /// `speed` and `memory`).
    #[arg(long, value_name = "PYTHON")]
    reference: Option<PathBuf>,
    /// Number of processes for each case and setup (suite `memory`).
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    repeats: u32,
}

/// A suite: a file in `benches/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Headline figures of each model, as a table.
    Speed,
    /// Effect of the memory optimisations, as tables and an HTML page with plots.
    Memory,
    /// Comparison of allocators, as tables.
    Allocation,
    /// Small and large blocks on several allocators.
    Allocator,
    /// Effects of an installed pool on C code, and of peak windows on allocations.
    AllocatorProcess,
    /// Leasing a tensor compared with creating one.
    TensorPool,
    /// Reservations from a budget.
    Budget,
    /// Batch sizes, plans and admission.
    Planner,
    /// Overhead of the memory monitor.
    Monitor,
    /// Detection of reference cycles.
    LeakDetect,
    /// Speech generation.
    Speech,
    /// Loading of a model.
    Loading,
    /// Splitting of a text into segments.
    Text,
    /// Sample rate conversion.
    Audio,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Memory => "memory",
            Self::Allocation => "allocation",
            Self::Allocator => "allocator",
            Self::AllocatorProcess => "allocator_process",
            Self::TensorPool => "tensor_pool",
            Self::Budget => "budget",
            Self::Planner => "planner",
            Self::Monitor => "monitor",
            Self::LeakDetect => "leak_detect",
            Self::Speech => "speech",
            Self::Loading => "loading",
            Self::Text => "text",
            Self::Audio => "audio",
        }
    }
}

/// Runs the chosen suites and prints the reports that they write.
///
/// # Errors
///
/// A suite does not build or fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    for suite in Suite::value_variants() {
        if !args.suites.is_empty() && !args.suites.contains(suite) {
            continue;
        }
        let mut bench = cargo("bench --package benches --bench");
        bench.arg(suite.name());
        if *suite == Suite::Memory {
            bench.args(memory::arguments(args.repeats, args.reference.as_deref())?);
        }
        execute(&mut bench)?;
        match suite {
            Suite::Memory => print_memory()?,
            Suite::Speed => print_speed(args.reference.as_deref())?,
            Suite::Allocation => print_allocation()?,
            _ => {}
        }
    }
    Ok(())
}

/// Prints the report of the suite `speed`, and adds the figures of the Python package to it.
fn print_speed(reference: Option<&Path>) -> Result<()> {
    let (mut report, path) = read_report::<bench_report::speed::Report>(Suite::Speed)?;
    if let Some(python) = reference {
        report.reference = measure_reference(python, &report.cases)?;
        std::fs::write(&path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("\n{}\nJSON: {}", speed::text(&report), path.display());
    Ok(())
}

/// Prints the report of the suite `allocation`.
fn print_allocation() -> Result<()> {
    let (report, path) = read_report(Suite::Allocation)?;
    println!("\n{}\nJSON: {}", allocation::text(&report), path.display());
    Ok(())
}

/// Prints the report of the suite `memory`.
fn print_memory() -> Result<()> {
    let (report, path) = read_report(Suite::Memory)?;
    let page = path.with_extension("html");
    println!(
        "\n{}\nJSON: {}\nplots: {}",
        memory::text(&report),
        path.display(),
        page.display()
    );
    Ok(())
}

/// Reads the report that a suite wrote, and returns it with its path.
fn read_report<T: DeserializeOwned>(suite: Suite) -> Result<(T, PathBuf)> {
    let path = target_folder()?.join(format!("bench/{}.json", suite.name()));
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let report = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a report of this version", path.display()))?;
    Ok((report, path))
}

/// Measures the Python package, once for each model.
fn measure_reference(python: &Path, cases: &[Case]) -> Result<Vec<Reference>> {
    let mut measured: Vec<Reference> = Vec::new();
    for case in cases {
        if measured.iter().any(|done| done.model == case.model) {
            continue;
        }
        let line = output(
            Command::new(python)
                .arg(workspace_root().join("benches/reference.py"))
                .arg("speed")
                .args([&case.config, &case.voice, &case.text, &case.short_text])
                .arg(REFERENCE_REPEATS.to_string()),
        )?;
        let figures: Reference =
            serde_json::from_str(&line).context("unexpected output of reference.py")?;
        measured.push(Reference {
            model: case.model.clone(),
            ..figures
        });
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_is_a_file_in_benches() {
        for suite in Suite::value_variants() {
            let file = format!("benches/{}.rs", suite.name());
            assert!(workspace_root().join(&file).is_file(), "{file}");
        }
    }
}
