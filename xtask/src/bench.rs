//! `cargo xtask bench`: how fast the crates are.

mod allocation;
mod memory;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::Value;

use crate::shell::{cargo, output, run as execute, target_folder, workspace_root};

/// How often the Python package speaks each text after a warm-up.
const REFERENCE_REPEATS: usize = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these. [default: all]
    #[arg(value_enum)]
    suites: Vec<Suite>,
    /// Measure the Python package `pocket-tts` too, with this Python that has it (suites `speed` and
    /// `memory`).
    #[arg(long, value_name = "PYTHON")]
    reference: Option<PathBuf>,
    /// Processes for each case and setup (suite `memory`).
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    repeats: u32,
}

/// A file in `benches/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// The figures by which the program is judged, as a table.
    Speed,
    /// What the memory optimisations buy, as tables and a page with plots.
    Memory,
    /// What the choice of an allocator costs and saves, as tables.
    Allocation,
    /// Small and large blocks on several allocators.
    Allocator,
    /// Leasing a tensor beside making one.
    TensorPool,
    /// Reserving from a budget.
    Budget,
    /// Batch sizes, plans and admission.
    Planner,
    /// What watching memory costs.
    Monitor,
    /// Finding leaked cycles.
    LeakDetect,
    /// Speech from text.
    Speech,
    /// Loading a model.
    Loading,
    /// Cutting a text into chunks.
    Text,
    /// Changing the sample rate.
    Audio,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Memory => "memory",
            Self::Allocation => "allocation",
            Self::Allocator => "allocator",
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

/// Runs the chosen suites.
///
/// # Errors
///
/// A suite does not build or breaks off.
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
            Suite::Memory => report_memory()?,
            Suite::Speed => report_speed(args.reference.as_deref())?,
            Suite::Allocation => report_allocation()?,
            _ => {}
        }
    }
    Ok(())
}

/// Prints what the suite `speed` wrote, with the Python package beside it.
fn report_speed(reference: Option<&Path>) -> Result<()> {
    let (mut report, path) = read_report(Suite::Speed)?;
    if let Some(python) = reference {
        report["reference"] = measure_reference(python, &report["cases"])?;
        std::fs::write(&path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("\n{}\nas JSON: {}", table::of(&report), path.display());
    Ok(())
}

/// Prints what the suite `allocation` wrote.
fn report_allocation() -> Result<()> {
    let (report, path) = read_report(Suite::Allocation)?;
    println!("\n{}\nas JSON: {}", allocation::of(&report), path.display());
    Ok(())
}

/// Prints what the suite `memory` wrote.
fn report_memory() -> Result<()> {
    let (report, path) = read_report(Suite::Memory)?;
    let page = path.with_extension("html");
    println!(
        "\n{}\nas JSON: {}\nwith plots: {}",
        memory::of(&report),
        path.display(),
        page.display()
    );
    Ok(())
}

/// What a suite wrote, and where.
fn read_report(suite: Suite) -> Result<(Value, PathBuf)> {
    let path = target_folder()?.join(format!("bench/{}.json", suite.name()));
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let report =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    Ok((report, path))
}

/// The Python package's figures, one case per model. It chooses its threads itself.
fn measure_reference(python: &Path, cases: &Value) -> Result<Value> {
    let mut measured: Vec<Value> = Vec::new();
    for case in cases.as_array().into_iter().flatten() {
        if measured.iter().any(|done| done["model"] == case["model"]) {
            continue;
        }
        let argument = |key: &str| {
            case[key]
                .as_str()
                .with_context(|| format!("a case of the report has no {key}"))
        };
        let line = output(
            Command::new(python)
                .arg(workspace_root().join("benches/reference.py"))
                .args([
                    "speed",
                    argument("config")?,
                    argument("voice")?,
                    argument("text")?,
                    argument("short_text")?,
                ])
                .arg(REFERENCE_REPEATS.to_string()),
        )?;
        let mut figures: Value =
            serde_json::from_str(&line).context("reference.py printed no JSON")?;
        figures["model"] = case["model"].clone();
        measured.push(figures);
    }
    Ok(Value::Array(measured))
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
