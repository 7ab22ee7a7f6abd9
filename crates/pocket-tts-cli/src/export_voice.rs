//! `pocket-tts export-voice`.

use std::io::{self, Write};
use std::process::ExitCode;

use bytesize::ByteSize;

use crate::args::ExportVoiceArgs;
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
            ByteSize::b(voice.size_bytes())
        );
    }
    Ok(ExitCode::SUCCESS)
}
