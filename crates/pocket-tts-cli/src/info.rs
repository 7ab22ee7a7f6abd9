//! `pocket-tts info`.

use std::process::ExitCode;

use bytesize::ByteSize;
use serde::Serialize;

use crate::args::InfoArgs;
use crate::figures::peak_rss_bytes;
use crate::{model, output, table};

/// A model's sizes, as JSON. Unknown values are null.
#[derive(Debug, Serialize)]
struct Info {
    model: String,
    device: &'static str,
    threads: usize,
    sample_rate_hz: u32,
    frame_rate_hz: f64,
    parameters: u64,
    stored_bytes: u64,
    flow_lm_bytes: u64,
    decoder_bytes: u64,
    /// Null, because the encoder is loaded when a voice is cloned.
    encoder_bytes: Option<u64>,
    kv_bytes_per_second: f64,
    default_voice: &'static str,
    /// Why the model cannot clone voices; null if it can.
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
        let bytes = |bytes: u64| ByteSize::b(bytes).to_string();
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
                    "{} Hz, {} frames per second",
                    self.sample_rate_hz, self.frame_rate_hz
                ),
            ),
            ("default voice", self.default_voice.to_owned()),
            ("voice cloning", cloning),
            (
                "parameters",
                format!("{:.1} million", self.parameters as f64 / 1e6),
            ),
            ("weights as stored", bytes(self.stored_bytes)),
            ("FlowLM, prepared", bytes(self.flow_lm_bytes)),
            ("Mimi decoder, prepared", bytes(self.decoder_bytes)),
            (
                "KV cache",
                format!(
                    "{} per second of a stream",
                    bytes(self.kv_bytes_per_second.round() as u64)
                ),
            ),
            (
                "peak RSS so far",
                match self.peak_rss_bytes {
                    Some(peak) => bytes(peak),
                    None => "unknown".to_owned(),
                },
            ),
        ];
        table::format(rows.map(|(name, value)| [name.to_owned(), value]), &[])
    }
}
