//! A loaded model in a fresh process, so that its memory is not mixed with that of other measurements.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bench_report::allocation::TraceSummary;
use serde::{Deserialize, Serialize};
use tensor_pool::minor_faults;
use tts_core::GenerateOptions;

use crate::allocation::{Trace, record};
use crate::process::{Process, own_task, requests, send};
use crate::{BenchModel, Loaded, Result, SHORT_TEXT, SpanTimes};
use crate::{long_text, measure_spans, peak_rss_bytes, without_end};

/// The role of a process that serves one model.
const ROLE: &str = "serve-one-model";

/// The task of a serving process.
#[derive(Debug, Serialize, Deserialize)]
struct ServeTask {
    model: BenchModel,
    folder: PathBuf,
    threads: usize,
}

/// A request to a serving process.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Generates the long text: [`Speech`].
    Speech,
    /// Times the first audio of the short text: [`Duration`].
    FirstAudio,
    /// Reads the peak RSS in bytes: `Option<u64>`.
    PeakRss,
    /// Generates the long text and records its allocations in a file: [`Speech`] and [`TraceSummary`].
    Record(PathBuf),
}

/// The measurement of loading a model.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Time from opening the files until the model and its voice are ready.
    pub load: Duration,
}

/// The measurement of generating the long text.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Speech {
    /// Time from the call to the last chunk of audio.
    pub wall: Duration,
    /// Time that FlowLM spent on all latents but the first.
    pub flow_lm: Duration,
    /// Time that Mimi spent decoding, summed over its calls. With several threads it overlaps `flow_lm`.
    pub mimi: Duration,
    /// Generated frames.
    pub frames: usize,
    /// Length of the audio.
    pub audio_seconds: f64,
    /// Minor page faults of the process; `None` if the system does not report them.
    pub minor_faults: Option<u64>,
}

/// A process with a loaded model. It ends when this value is dropped.
#[derive(Debug)]
pub struct Worker {
    process: Process,
    /// The measurement of loading.
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

    /// Starts the process like [`Self::start`], in an environment that `set_environment` changes.
    ///
    /// # Errors
    ///
    /// The process cannot be started or the model cannot be loaded.
    pub fn start_with(
        model: BenchModel,
        folder: &Path,
        threads: usize,
        set_environment: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let task = ServeTask {
            model,
            folder: folder.to_owned(),
            threads,
        };
        let mut process = Process::start(ROLE, &task, set_environment)?;
        let ready = process.answer()?;
        Ok(Self { process, ready })
    }

    /// Generates the long text.
    ///
    /// # Errors
    ///
    /// The process fails.
    pub fn speech(&mut self) -> Result<Speech> {
        self.process.ask(&Request::Speech)
    }

    /// Returns the time from the call to the first audio of a short text.
    ///
    /// # Errors
    ///
    /// The process fails.
    pub fn first_audio(&mut self) -> Result<Duration> {
        self.process.ask(&Request::FirstAudio)
    }

    /// Returns the peak RSS of the process; `None` if the system does not report it.
    ///
    /// # Errors
    ///
    /// The process fails.
    pub fn peak_rss_bytes(&mut self) -> Result<Option<u64>> {
        self.process.ask(&Request::PeakRss)
    }

    /// Generates the long text and records the requests to the allocator, once per process. The process
    /// must run on [`RECORDING`](crate::allocation::RECORDING).
    ///
    /// # Errors
    ///
    /// The process fails.
    pub fn record(&mut self, trace: &Path) -> Result<(Speech, TraceSummary)> {
        self.process.ask(&Request::Record(trace.to_owned()))
    }
}

/// Serves requests, if this process was started for that. Returns whether it was.
///
/// # Errors
///
/// The model cannot be loaded, or generation fails.
pub fn serve() -> Result<bool> {
    let Some(task) = own_task::<ServeTask>(ROLE)? else {
        return Ok(false);
    };
    measure_spans()?;
    let start = Instant::now();
    let loaded = task.model.load(&task.folder, task.threads)?;
    send(&Ready {
        load: start.elapsed(),
    })?;
    let text = long_text(&task.model.open(&task.folder)?)?;
    for request in requests() {
        match request? {
            Request::Speech => send(&speak(&loaded, &text)?)?,
            Request::FirstAudio => send(&first_audio(&loaded)?)?,
            Request::PeakRss => send(&peak_rss_bytes())?,
            Request::Record(path) => {
                let (speech, recording) = record(|| speak(&loaded, &text))?;
                // One span per frame: the threads of a stream are at most a few frames apart.
                let summary = Trace::write(&path, &recording, speech.frames)?;
                send(&(speech, summary))?;
            }
        }
    }
    Ok(true)
}

fn speak(loaded: &Loaded, text: &str) -> Result<Speech> {
    let before = SpanTimes::read();
    let faults_before = minor_faults();
    let start = Instant::now();
    let mut samples = 0;
    for chunk in loaded.stream(text, &without_end())? {
        let chunk = chunk?;
        samples += chunk.samples().len();
        if !chunk.samples().iter().all(|sample| sample.is_finite()) {
            return Err("the audio is not finite: the random weights are badly scaled".into());
        }
    }
    let wall = start.elapsed();
    let minor_faults = minor_faults().zip(faults_before);
    let spans = SpanTimes::read().since(before);
    Ok(Speech {
        wall,
        flow_lm: spans.sampling,
        mimi: spans.decode,
        frames: samples / loaded.model.frame_samples(),
        audio_seconds: samples as f64 / f64::from(loaded.model.sample_rate_hz()),
        minor_faults: minor_faults.map(|(after, before)| after - before),
    })
}

fn first_audio(loaded: &Loaded) -> Result<Duration> {
    let options = GenerateOptions::default().with_seed(1);
    let start = Instant::now();
    let mut stream = loaded.stream(SHORT_TEXT, &options)?;
    stream.next().ok_or("the short text produced no audio")??;
    Ok(start.elapsed())
}
