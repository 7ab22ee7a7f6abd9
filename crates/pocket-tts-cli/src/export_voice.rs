//! `pocket-tts export-voice`.

use std::io::{self, Write};
use std::process::ExitCode;

use bytesize::ByteSize;

use pocket_tts::audio::PromptLength;
use pocket_tts::{CancelToken, VoiceOptions};

use crate::args::ExportVoiceArgs;
use crate::model;

pub(crate) fn run(args: &ExportVoiceArgs, cancel: &CancelToken) -> anyhow::Result<ExitCode> {
    let model = model::open(&args.model)?;
    let options = VoiceOptions::default()
        .with_length(PromptLength::Truncated)
        .with_cancel(cancel);
    model.plan_voice(&args.audio_path, &options)?.check()?;
    let model = model::load(model)?;
    let voice = model.voice_with(&args.audio_path, &options)?;
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
