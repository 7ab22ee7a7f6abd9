//! `pocket-tts info`.

use std::fmt::Write;
use std::process::ExitCode;

use serde::Serialize;

use crate::args::InfoArgs;
use crate::figures::{Bytes, peak_rss_bytes};
use crate::{model, output};

/// A model's sizes, for scripts. Unknown is null.
#[derive(Debug, Serialize)]
struct Info {
    model: String,
    device: &'static str,
    threads: usize,
    sample_rate_hz: u32,
    frame_rate_hz: f64,
    parameters: u64,
    stored_bytes: u64,
    flow_lm_bytes: usize,
    decoder_bytes: usize,
    /// Null until a voice was cloned, which this command does not.
    encoder_bytes: Option<usize>,
    kv_bytes_per_second: f64,
    default_voice: &'static str,
    /// Why the model cannot clone voices; null when it can.
    no_voice_cloning: Option<String>,
    peak_rss_bytes: Option<u64>,
}

pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<ExitCode> {
    let model = model::load(&args.model)?;
    let info = model.info();
    let info = Info {
        model: info.name,
        device: info.device.name(),
        threads: info.threads,
        sample_rate_hz: info.sample_rate_hz,
        frame_rate_hz: info.frame_rate_hz,
        parameters: info.size.parameters,
        stored_bytes: info.size.stored_bytes,
        flow_lm_bytes: info.size.flow_lm_bytes,
        decoder_bytes: info.size.decoder_bytes,
        encoder_bytes: info.size.encoder_bytes,
        kv_bytes_per_second: info.kv_bytes_per_second,
        default_voice: model.source().default_voice(),
        no_voice_cloning: info.no_voice_cloning,
        peak_rss_bytes: peak_rss_bytes(),
    };
    match args.json {
        true => output::print_json(&info)?,
        false => output::print(&info.lines())?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Info {
    fn lines(&self) -> String {
        let bytes = |bytes: f64| Bytes(bytes).to_string();
        let cloning = match &self.no_voice_cloning {
            None => "yes".to_owned(),
            Some(reason) => format!("no: {reason}"),
        };
        let rows = [
            ("model", self.model.clone()),
            (
                "device",
                format!("{}, {} threads", self.device, self.threads),
            ),
            (
                "audio",
                format!(
                    "{} Hz, {} frames a second",
                    self.sample_rate_hz, self.frame_rate_hz
                ),
            ),
            ("default voice", self.default_voice.to_owned()),
            ("voice cloning", cloning),
            (
                "parameters",
                format!("{:.1} million", self.parameters as f64 / 1e6),
            ),
            ("weights as stored", bytes(self.stored_bytes as f64)),
            ("FlowLM, prepared", bytes(self.flow_lm_bytes as f64)),
            ("Mimi decoder, prepared", bytes(self.decoder_bytes as f64)),
            (
                "KV cache",
                format!(
                    "{} for each second of a stream",
                    bytes(self.kv_bytes_per_second)
                ),
            ),
            (
                "peak memory so far",
                match self.peak_rss_bytes {
                    Some(peak) => bytes(peak as f64),
                    None => "unknown".to_owned(),
                },
            ),
        ];
        rows.iter().fold(String::new(), |mut lines, (name, value)| {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{name:24}{value}");
            lines
        })
    }
}
