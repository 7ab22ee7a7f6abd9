//! `pocket-tts export-voice`.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::args::ExportVoiceArgs;
use crate::figures::Bytes;
use crate::model;

pub(crate) fn run(args: &ExportVoiceArgs) -> anyhow::Result<ExitCode> {
    let model = model::load(&args.model)?;
    let voice = model.voice_truncated(&args.audio_path)?;
    model.export_voice(&voice, &args.export_path)?;
    if !args.model.quiet {
        let _ = writeln!(
            io::stderr(),
            "{}: a voice of {} positions, {}",
            args.export_path.display(),
            voice.positions(),
            Bytes(voice.size_bytes() as f64)
        );
    }
    Ok(ExitCode::SUCCESS)
}
