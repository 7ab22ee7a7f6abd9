//! `pocket-tts memory`.

use std::fmt;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use bytesize::ByteSize;
use pocket_tts::CoreError;
use pocket_tts::memory::{self, MemoryPlan};
use serde::Serialize;

use crate::args::PlanArgs;
use crate::interrupt::Interrupt;
use crate::output;
use crate::speech::PlannedSpeech;

/// The predicted and the measured memory of speech, for scripts.
#[derive(Debug, Serialize)]
struct Comparison {
    plan: MemoryPlan,
    fits: bool,
    shortfall_bytes: u64,
    /// A memory limit, in MB of 1,048,576 bytes, with which the command succeeds.
    sufficient_limit_mb: u64,
    /// Null if no speech was generated.
    measured: Option<Measured>,
}

/// The measured memory of speech. Unknown values are null.
#[derive(Debug, Serialize)]
struct Measured {
    /// Peak of the counted bytes, which the plan predicts.
    counted_peak_bytes: Option<u64>,
    /// Peak RSS.
    peak_rss_bytes: Option<u64>,
    /// Duration of the speech.
    audio_seconds: f64,
    /// Duration of its generation.
    elapsed_seconds: f64,
}

pub(crate) fn run(args: &PlanArgs, interrupt: &Interrupt) -> Result<ExitCode> {
    let speech = PlannedSpeech::new(&args.speech, false, interrupt.token())?;
    let plan = speech.plan.clone();
    let fits = plan.fits();
    if !args.json {
        output::print(&format!("{plan}\n"))?;
    }
    let measured = match args.run && fits {
        true => Some(measure(speech, interrupt)?),
        false => None,
    };
    // A sufficient limit is part of the error.
    let refusal = plan.check();
    let comparison = Comparison {
        fits,
        shortfall_bytes: plan.shortfall_bytes(),
        sufficient_limit_mb: plan.sufficient_limit_mb(),
        plan,
        measured,
    };
    if args.json {
        output::print_json(&comparison)?;
    } else {
        output::print(&comparison.to_string())?;
    }
    refusal?;
    Ok(ExitCode::SUCCESS)
}

/// Loads the model, makes the voice, generates the speech, discards it, and measures the memory of all
/// this.
fn measure(speech: PlannedSpeech<'_>, interrupt: &Interrupt) -> Result<Measured> {
    let (spoken, profile) = memory::profile("speech", || {
        let speech = speech.load()?;
        let start = Instant::now();
        let mut samples = 0;
        let mut device = device_bytes();
        for chunk in speech.stream()? {
            interrupt.token().check().map_err(CoreError::from)?;
            samples += chunk?.samples().len();
            device = device.max(device_bytes());
        }
        let audio_seconds = samples as f64 / f64::from(speech.model.sample_rate_hz());
        anyhow::Ok((audio_seconds, start.elapsed(), device))
    });
    let (audio_seconds, elapsed, device) = spoken?;
    // Speech does not change the mapped weights.
    let mapped = memory::memory_summary().counted.mapped_bytes;
    let counted = profile.heap_peak_bytes.map(|heap| heap + mapped + device);
    Ok(Measured {
        counted_peak_bytes: counted,
        peak_rss_bytes: profile.rss_peak_bytes,
        audio_seconds,
        elapsed_seconds: elapsed.as_secs_f64(),
    })
}

/// Returns the bytes in use in the devices' memory pools.
fn device_bytes() -> u64 {
    let devices = memory::get_memory_pool().get_stats().devices;
    devices.iter().map(|device| device.in_use_bytes).sum()
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(measured) = &self.measured else {
            return Ok(());
        };
        let display = |bytes: Option<u64>| {
            bytes.map_or_else(
                || "unknown".to_owned(),
                |bytes| ByteSize::b(bytes).to_string(),
            )
        };
        let counted = measured.counted_peak_bytes;
        writeln!(f, "\n{:16}{:>12}{:>12}", "", "predicted", "measured")?;
        write!(
            f,
            "{:16}{:>12}{:>12}",
            "counted peak",
            display(Some(self.plan.peak_bytes)),
            display(counted)
        )?;
        if let Some(counted) = counted.filter(|counted| *counted > 0) {
            let over = self.plan.peak_bytes as f64 / counted as f64 - 1.0;
            write!(f, "  predicted {:+.1} %", over * 100.0)?;
        }
        writeln!(
            f,
            "\n{:16}{:>12}{:>12}",
            "peak RSS",
            "",
            display(measured.peak_rss_bytes)
        )?;
        writeln!(
            f,
            "{:.2} s of speech in {:.2} s",
            measured.audio_seconds, measured.elapsed_seconds
        )
    }
}
