//! `pocket-tts generate`.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::CommandFactory;
use pocket_tts::audio::WavStreamWriter;
use pocket_tts::{Error, ErrorKind, SpeechStream};

use crate::args::{Cli, GenerateArgs};
use crate::figures::{Figures, counted_peak_bytes, peak_rss_bytes};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::output;
use crate::progress::SpeechBar;
use crate::speech::PlannedSpeech;

/// Why speech ended.
enum End {
    /// The speech is complete.
    Complete,
    /// The user interrupted it.
    Interrupted,
    /// The reader of the output closed the pipe.
    PipeClosed,
    Failed(Error),
}

pub(crate) fn run(args: &GenerateArgs, interrupt: &Interrupt) -> Result<ExitCode> {
    let to_stdout = args.output_path.as_os_str() == "-";
    if to_stdout {
        refuse_stdout(args)?;
    }
    let quiet = args.speech.model.quiet;
    let speech = PlannedSpeech::new(&args.speech, to_stdout, interrupt.token())?.load()?;
    let model = &speech.model;

    let start = Instant::now();
    let mut stream = speech.stream()?;
    let sample_rate_hz = model.sample_rate_hz();
    let mut writer = match open(&args.output_path, sample_rate_hz) {
        Err(error) if is_broken_pipe(&error) => return Ok(ExitCode::SUCCESS),
        writer => writer?,
    };
    let frame = Duration::from_secs_f64(1.0 / model.config().mimi.frame_rate);
    interrupt.save_stream(stream.cancel_token());
    let bar = SpeechBar::new(quiet, frame);
    let mut first_audio = None;
    let mut samples = 0;
    let end = speak(&mut stream, interrupt, |chunk, stream| {
        first_audio.get_or_insert_with(|| start.elapsed());
        writer.write(chunk)?;
        samples += chunk.len();
        bar.update(stream.progress(), start.elapsed());
        Ok(())
    });
    let elapsed = start.elapsed();
    drop(bar);

    let audio_seconds = samples as f64 / f64::from(sample_rate_hz);
    let figures = Figures {
        audio_seconds,
        times_real_time: audio_seconds / elapsed.as_secs_f64(),
        first_audio_ms: first_audio.map(|first| first.as_secs_f64() * 1e3),
        peak_rss_bytes: peak_rss_bytes(),
        counted_peak_bytes: counted_peak_bytes(),
        frames: stream.progress().frames,
        seed: stream.seed(),
        output: match to_stdout {
            true => "standard output".to_owned(),
            false => args.output_path.display().to_string(),
        },
        sample_rate_hz,
        elapsed,
    };
    drop(stream);
    match end {
        End::PipeClosed => return Ok(ExitCode::SUCCESS),
        // An empty audio file is useless.
        End::Interrupted if samples == 0 => return Ok(ExitCode::from(INTERRUPTED)),
        End::Failed(error) => return Err(save_partial(error, writer, samples, &figures)),
        End::Complete | End::Interrupted => match writer.finish().map_err(Error::from) {
            Err(error) if is_broken_pipe(&error) => return Ok(ExitCode::SUCCESS),
            finished => finished?,
        },
    };
    if args.json {
        output::print_json(&figures)?;
    } else if !quiet {
        let _ = writeln!(io::stderr(), "{figures}");
    }
    Ok(match end {
        End::Interrupted => ExitCode::from(INTERRUPTED),
        _ => ExitCode::SUCCESS,
    })
}

/// Passes audio chunks to `take` until the speech ends or is interrupted.
fn speak(
    stream: &mut SpeechStream,
    interrupt: &Interrupt,
    mut take: impl FnMut(&[f32], &SpeechStream) -> Result<(), Error>,
) -> End {
    loop {
        if interrupt.is_cancelled() {
            return End::Interrupted;
        }
        let taken = match stream.next() {
            None if interrupt.is_cancelled() => return End::Interrupted,
            None => return End::Complete,
            Some(chunk) => chunk.and_then(|chunk| take(chunk.samples(), stream)),
        };
        match taken {
            Ok(()) => {}
            Err(error) if is_broken_pipe(&error) => return End::PipeClosed,
            Err(error) => return End::Failed(error),
        }
    }
}

/// Saves the audio generated before an error, and adds the outcome to the error.
fn save_partial(
    error: Error,
    writer: WavStreamWriter,
    samples: usize,
    figures: &Figures,
) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    if samples == 0 {
        return error;
    }
    let outcome = match writer.finish() {
        Ok(_) => format!(
            "speech ended early; the first {:.2} s are saved in {}",
            figures.audio_seconds, figures.output
        ),
        Err(lost) => format!(
            "speech ended early, and its audio could not be saved ({:#})",
            anyhow::Error::from(lost)
        ),
    };
    error.context(outcome)
}

fn refuse_stdout(args: &GenerateArgs) -> Result<()> {
    let problem = if args.json {
        "--json and `--output-path -` both write to standard output; write the WAV to a file"
    } else if io::stdout().is_terminal() {
        "standard output is a terminal, which cannot play audio; pipe it to a player, or write the WAV to a file"
    } else {
        return Ok(());
    };
    bail!(Cli::command().error(clap::error::ErrorKind::ArgumentConflict, problem))
}

fn open(path: &Path, sample_rate_hz: u32) -> Result<WavStreamWriter, Error> {
    let writer = if path.as_os_str() == "-" {
        WavStreamWriter::to_pipe(io::stdout(), sample_rate_hz)
    } else {
        WavStreamWriter::create(path, sample_rate_hz)
    };
    Ok(writer?)
}

/// Whether the error is a broken pipe, which is not a failure.
fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Core(error) if error.kind() == ErrorKind::Cancelled)
}

#[cfg(all(test, feature = "flex", feature = "builtin-voice"))]
mod tests {
    use super::*;
    use pocket_tts::TtsModel;
    use pocket_tts::memory::memory_efficient_context;

    #[test]
    fn saves_partial_speech_when_memory_runs_out() {
        // Another test may have installed it.
        let _ = crate::ALLOCATOR.install();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("speech.wav");
        let model = TtsModel::builtin().unwrap();
        let voice = model.default_voice().unwrap();
        let text = "One more sentence to say. ".repeat(100);
        let plan = model
            .plan_stream_memory(&voice, &text, &Default::default())
            .unwrap();
        let limit_mb = plan.peak_bytes.div_ceil(1 << 20) + 2;
        let _limit = memory_efficient_context(limit_mb);
        let mut stream = model.stream(&voice, &text, &Default::default()).unwrap();
        let mut writer = open(&path, model.sample_rate_hz()).unwrap();
        let (mut samples, mut allocated) = (0, Vec::new());
        let end = speak(&mut stream, &Interrupt::default(), |chunk, _| {
            writer.write(chunk)?;
            samples += chunk.len();
            // Other code in the program allocates all memory up to the limit.
            allocated.resize(limit_mb as usize * (1 << 20), 1u8);
            Ok(())
        });
        let End::Failed(error) = end else {
            panic!("{samples} samples, {} bytes allocated", allocated.len());
        };
        let figures = Figures {
            audio_seconds: samples as f64 / f64::from(model.sample_rate_hz()),
            times_real_time: 1.0,
            first_audio_ms: None,
            peak_rss_bytes: None,
            counted_peak_bytes: None,
            frames: stream.progress().frames,
            seed: stream.seed(),
            output: "speech.wav".to_owned(),
            sample_rate_hz: model.sample_rate_hz(),
            elapsed: Duration::ZERO,
        };
        assert!(
            matches!(&error, Error::Core(error) if error.kind() == ErrorKind::OutOfMemory),
            "{error}"
        );
        let message = format!("{:#}", save_partial(error, writer, samples, &figures));
        let saved = format!(
            "the first {:.2} s are saved in speech.wav",
            figures.audio_seconds
        );
        for words in [&format!("the limit is {limit_mb}.0 MiB"), &saved] {
            assert!(message.contains(words), "{words:?}: {message}");
        }
        assert_eq!(message.matches(" s ").count(), 1, "{message}");
        let bytes = std::fs::metadata(&path).unwrap().len();
        assert!(bytes as usize >= 44 + 2 * samples && samples > 0, "{bytes}");
    }
}
