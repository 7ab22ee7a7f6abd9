//! A model in a process of its own, so that its memory is nobody else's: this program starts itself
//! again, writes requests to it, one a line, and reads an answer to each.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tensor_pool::minor_faults;
use tts_core::GenerateOptions;

use crate::allocation::{Trace, TraceSummary, record};
use crate::{BenchModel, Loaded, Result, SHORT_TEXT, SpanTimes};
use crate::{long_text, peak_rss_bytes, watch_spans, without_end};

/// First argument of the program when it is to serve.
const SERVE: &str = "serve-one-model";

/// A model is loaded.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// From opening its files until it and its voice could speak.
    pub load: Duration,
}

/// The long text was spoken.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Speech {
    /// From the call to the last chunk of audio.
    pub wall: Duration,
    /// In which FlowLM drew latents, after the first.
    pub step: Duration,
    /// In which Mimi decoded, summed over its calls. With several threads, FlowLM worked meanwhile.
    pub decode: Duration,
    /// Frames spoken.
    pub frames: usize,
    /// Length of the audio.
    pub audio_seconds: f64,
    /// Minor page faults of the process meanwhile; `None` where the system does not tell.
    pub minor_faults: Option<u64>,
}

/// A process with a loaded model. It ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// How loading went.
    pub ready: Ready,
}

impl Worker {
    /// Starts the process and loads the model in it.
    ///
    /// # Errors
    ///
    /// The process cannot be started or the model cannot be loaded.
    pub fn start(model: BenchModel, folder: &Path, threads: usize) -> Result<Self> {
        Self::start_with(model, folder, threads, |_| {})
    }

    /// Starts the process as [`Self::start`] does, in an environment that `set` changes.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_with(
        model: BenchModel,
        folder: &Path,
        threads: usize,
        set: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args([SERVE, model.name(), &threads.to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        set(&mut command);
        let mut child = command.spawn()?;
        let requests = child.stdin.take();
        let output = child.stdout.take().ok_or("the worker has no output")?;
        let mut answers = BufReader::new(output);
        let ready = read(&mut answers)?;
        Ok(Self {
            child,
            requests,
            answers,
            ready,
        })
    }

    /// Speaks the long text.
    ///
    /// # Errors
    ///
    /// The process broke off.
    pub fn speech(&mut self) -> Result<Speech> {
        self.ask("speech")
    }

    /// The time from the call to the first audio of a short text.
    ///
    /// # Errors
    ///
    /// The process broke off.
    pub fn first_audio(&mut self) -> Result<Duration> {
        self.ask("first-audio")
    }

    /// The most memory that the process has held.
    ///
    /// # Errors
    ///
    /// The process broke off.
    pub fn peak_rss_bytes(&mut self) -> Result<Option<u64>> {
        self.ask("peak-rss")
    }

    /// Speaks the long text and writes down what was asked of the allocator meanwhile, once in the
    /// process. It has to run on [`RECORDING`](crate::allocation::RECORDING).
    ///
    /// # Errors
    ///
    /// The process broke off.
    pub fn record(&mut self, trace: &Path) -> Result<(Speech, TraceSummary)> {
        self.ask(&format!("record {}", trace.display()))
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &str) -> Result<T> {
        let requests = self.requests.as_mut().ok_or("the worker has no input")?;
        writeln!(requests, "{request}")?;
        read(&mut self.answers)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It ends when there is no more to read.
        self.requests = None;
        let _ = self.child.wait();
    }
}

fn read<T: DeserializeOwned>(answers: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut line = String::new();
    if answers.read_line(&mut line)? == 0 {
        return Err("the worker broke off; its message is above".into());
    }
    Ok(serde_json::from_str(&line)?)
}

/// Serves, if this process was started to do that; whether it was.
///
/// # Errors
///
/// The model cannot be loaded, or speech fails.
pub fn serve() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [serve, model, threads, folder] = arguments.as_slice() else {
        return Ok(false);
    };
    if serve != SERVE {
        return Ok(false);
    }
    watch_spans()?;
    let model = BenchModel::named(model)?;
    let folder = Path::new(folder);
    let start = Instant::now();
    let loaded = model.load(folder, threads.parse()?)?;
    answer(&Ready {
        load: start.elapsed(),
    })?;
    let text = long_text(&model.open(folder)?)?;
    for request in std::io::stdin().lines() {
        let request = request?;
        match request.split_once(' ').unwrap_or((&request, "")) {
            ("speech", "") => answer(&speak(&loaded, &text)?)?,
            ("first-audio", "") => answer(&first_audio(&loaded)?)?,
            ("peak-rss", "") => answer(&peak_rss_bytes())?,
            ("record", path) => {
                let (speech, recording) = record(|| speak(&loaded, &text))?;
                // A span for each frame: the threads of a stream are a few frames apart at most.
                let summary = Trace::write(Path::new(path), &recording, speech.frames)?;
                answer(&(speech, summary))?;
            }
            _ => return Err(format!("no request is called {request:?}").into()),
        }
    }
    Ok(true)
}

fn answer(value: &impl Serialize) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, value)?;
    writeln!(output)?;
    Ok(())
}

fn speak(loaded: &Loaded, text: &str) -> Result<Speech> {
    let before = SpanTimes::read();
    let faults_before = minor_faults();
    let start = Instant::now();
    let mut samples = 0;
    for chunk in loaded.model.stream(&loaded.voice, text, &without_end())? {
        let chunk = chunk?;
        samples += chunk.samples().len();
        if !chunk.samples().iter().all(|sample| sample.is_finite()) {
            return Err(
                "the audio is not finite: the random weights do not keep their size".into(),
            );
        }
    }
    let wall = start.elapsed();
    let minor_faults = minor_faults().zip(faults_before);
    let spans = SpanTimes::read().since(before);
    Ok(Speech {
        wall,
        step: spans.step,
        decode: spans.decode,
        frames: samples / loaded.model.frame_samples(),
        audio_seconds: samples as f64 / f64::from(loaded.model.sample_rate_hz()),
        minor_faults: minor_faults.map(|(after, before)| after - before),
    })
}

fn first_audio(loaded: &Loaded) -> Result<Duration> {
    let options = GenerateOptions {
        seed: Some(1),
        ..GenerateOptions::default()
    };
    let start = Instant::now();
    let mut stream = loaded.model.stream(&loaded.voice, SHORT_TEXT, &options)?;
    stream.next().ok_or("a short text gave no audio")??;
    Ok(start.elapsed())
}
