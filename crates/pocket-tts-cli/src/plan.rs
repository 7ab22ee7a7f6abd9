//! `pocket-tts memory`.

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;
use bytesize::ByteSize;
use pocket_tts::memory::{self, MemoryPlan};
use serde::Serialize;

use crate::args::PlanArgs;
use crate::output;
use crate::speech::Speech;

/// What speech will take and what it took, for scripts.
#[derive(Debug, Serialize)]
struct Comparison {
    plan: MemoryPlan,
    fits: bool,
    shortfall_bytes: u64,
    /// Null where nothing was spoken.
    measured: Option<Measured>,
}

/// What speech took. Unknown is null.
#[derive(Debug, Serialize)]
struct Measured {
    /// The most of what the plan is about.
    counted_peak_bytes: Option<u64>,
    /// The most that was resident meanwhile.
    peak_rss_bytes: Option<u64>,
    /// Seconds of speech.
    audio_seconds: f64,
    /// Seconds that it took.
    elapsed_seconds: f64,
}

pub(crate) fn run(args: &PlanArgs) -> Result<ExitCode> {
    let speech = Speech::prepare(&args.speech, false)?;
    let plan = speech.plan()?;
    let fits = plan.fits();
    if !args.json {
        output::print(&format!("{plan}\n"))?;
    }
    let measured = match args.run && fits {
        true => Some(measure(&speech)?),
        false => None,
    };
    let comparison = Comparison {
        fits,
        shortfall_bytes: plan.shortfall_bytes(),
        plan,
        measured,
    };
    if args.json {
        output::print_json(&comparison)?;
    } else {
        output::print(&comparison.to_string())?;
    }
    if !fits {
        // What refuses to speak knows what is missing and what would do.
        speech.stream()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Speaks to nobody.
fn measure(speech: &Speech) -> Result<Measured> {
    let (spoken, profile) = memory::profile("speech", || {
        let mut samples = 0;
        let mut device = device_bytes();
        for chunk in speech.stream()? {
            samples += chunk?.samples().len();
            device = device.max(device_bytes());
        }
        Ok::<_, pocket_tts::Error>((samples, device))
    });
    let (samples, device) = spoken?;
    // Speech maps and unmaps nothing.
    let mapped = memory::memory_summary().counted.mapped_bytes;
    let counted = profile.heap_peak_bytes.map(|heap| heap + mapped + device);
    Ok(Measured {
        counted_peak_bytes: counted,
        peak_rss_bytes: profile.rss_peak_bytes,
        audio_seconds: samples as f64 / f64::from(speech.model.sample_rate_hz()),
        elapsed_seconds: profile.time.as_secs_f64(),
    })
}

/// In use now in the devices' own pools.
fn device_bytes() -> u64 {
    let devices = memory::get_memory_pool().get_stats().devices;
    devices.iter().map(|device| device.in_use_bytes).sum()
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(measured) = &self.measured else {
            return Ok(());
        };
        let shown = |bytes: Option<u64>| {
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
            shown(Some(self.plan.peak_bytes)),
            shown(counted)
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
            shown(measured.peak_rss_bytes)
        )?;
        writeln!(
            f,
            "{:.2} s of speech in {:.2} s",
            measured.audio_seconds, measured.elapsed_seconds
        )
    }
}
