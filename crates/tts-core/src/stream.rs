//! Speech as a stream of audio chunks, and as a whole.

mod collect;
mod cost;
#[cfg(feature = "futures")]
mod futures;
mod interrupted;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use collect::collect;
pub use cost::{StreamCost, StreamNeed};
pub use interrupted::Interrupted;
pub use request::SpeechRequest;

use crate::audio::Audio;
use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::error::{InvalidSetting, Result};
use crate::scheduler::{Chunk, Job, JobRequest, Progress, Running, Sampling};
use crate::text::SegmentSize;

/// Speech that is being generated: an iterator of audio chunks. An error is the last item.
///
/// Dropping the stream cancels it without blocking. Its threads stop at the next frame and then release
/// their memory. [`Self::wait`] returns only after that.
///
/// Its threads and its channel cannot be traced by `leak-detect`: while the threads run, they are external
/// owners of the model and the voices.
///
/// # Examples
///
/// ```no_run
/// # fn example(model: &tts_core::Model, voice: &tts_core::Voice) -> tts_core::Result<()> {
/// use tts_core::{GenerateOptions, SpeechRequest};
///
/// let options = GenerateOptions::default();
/// let text = model.prepare("Hello world.", &options)?;
/// for chunk in model.stream(SpeechRequest::new(voice.clone(), text, options))? {
///     println!("{} more samples", chunk?.samples().len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SpeechStream {
    running: Running,
    sample_rate_hz: u32,
    seed: u64,
}

impl SpeechStream {
    pub(crate) fn start(engine: &Arc<Engine>, request: SpeechRequest) -> Result<Self> {
        let (running, seeds) = start(engine, &[request], 0)?;
        Ok(Self {
            running,
            sample_rate_hz: engine.sample_rate_hz(),
            seed: seeds.first().copied().unwrap_or_default(),
        })
    }

    /// Returns the sample rate.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// Returns the seed of the noise generator. The same text with the same seed gives the same audio.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the number of segments generated together while memory allows it.
    pub fn batch_size(&self) -> usize {
        self.running.batch_size()
    }

    /// Returns the progress of the stream.
    pub fn progress(&self) -> Progress {
        self.running.progress()
    }

    /// Returns a token that cancels the stream from another thread, also while this one waits for the next
    /// chunk. The stream then ends within a few frames, or after the prefill of one segment.
    pub fn cancel_token(&self) -> CancelToken {
        self.running.cancel_token()
    }

    /// Cancels the stream without blocking. It yields no more chunks.
    pub fn cancel(&mut self) {
        self.running.cancel();
    }

    /// Cancels the stream and blocks until its threads have ended and released their memory.
    pub fn wait(mut self) {
        self.running.join();
    }

    fn audio(&self, chunk: Chunk) -> Audio {
        Audio::new(chunk.samples, self.sample_rate_hz)
    }
}

impl Iterator for SpeechStream {
    type Item = Result<Audio>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.running.next()?;
        Some(chunk.map(|chunk| self.audio(chunk)))
    }
}

/// Admits requests and starts their threads. Returns the seed of each request.
fn start(
    engine: &Arc<Engine>,
    requests: &[SpeechRequest],
    audio_bytes: u64,
) -> Result<(Running, Vec<u64>)> {
    let mut largest = SegmentSize::default();
    let mut segments = Some(0_usize);
    let mut wanted = 1;
    for request in requests {
        request.options.validate()?;
        request.text.check(&engine.tokenizer)?;
        let size = request.text.largest_segment();
        if size.positions() > largest.positions() {
            largest = size;
        }
        segments = segments
            .zip(request.text.segment_count())
            .map(|(sum, count)| sum + count);
        wanted = wanted.max(request.options.batch_size.unwrap_or(1));
    }
    let wanted = segments.map_or(wanted, |segments| wanted.min(segments.max(1)));
    let own_limit_bytes = requests
        .iter()
        .filter_map(|request| request.memory_limit_bytes)
        .min();

    let cost = StreamCost::of(engine);
    let need = cost.need(largest).with_audio(audio_bytes);
    let ledger = engine.memory.ledger();
    let (admission, slots) = ledger.admit_batch(
        own_limit_bytes,
        &cost.memory_model(&need),
        largest.positions() as u64,
        wanted,
    )?;
    let seeds: Vec<u64> = requests
        .iter()
        .map(|request| {
            // 32 bits, because readers of JSON often parse numbers as doubles.
            let random = || rand::random::<u32>().into();
            request.options.seed.unwrap_or_else(random)
        })
        .collect();
    let job = Job {
        requests: requests
            .iter()
            .zip(&seeds)
            .map(|(request, &seed)| job_request(engine, request, seed))
            .collect::<Result<_>>()?,
        max_batch_size: wanted,
        solver_steps: solver_steps(requests)?,
        admission,
        slots,
        slot_bytes: need.bytes_per_segment(),
    };
    Ok((Running::start(engine, job)?, seeds))
}

fn job_request(engine: &Engine, request: &SpeechRequest, seed: u64) -> Result<JobRequest> {
    let options = &request.options;
    let config = &engine.config;
    Ok(JobRequest {
        voice: request.voice.kv.clone(),
        segments: request.text.segments()?,
        sampling: Sampling {
            seed,
            temperature: options.temperature.unwrap_or(config.default_temperature),
            noise_clamp: options.noise_clamp,
            eos_threshold: options
                .eos_threshold
                .unwrap_or(config.default_eos_threshold),
            frames_after_eos: options.frames_after_eos,
        },
    })
}

/// Returns the solver steps, which all rows of a batch share.
fn solver_steps(requests: &[SpeechRequest]) -> Result<usize, InvalidSetting> {
    let mut steps = requests
        .iter()
        .map(|request| request.options.sampler_decode_steps);
    let first = steps.next().unwrap_or(1);
    match steps.find(|&other| other != first) {
        None => Ok(first),
        Some(other) => Err(InvalidSetting {
            name: "sampler-decode-steps",
            found: format!("{first} in one request and {other} in another"),
            allowed: "the same in all requests of a batch",
        }),
    }
}

crate::traced::trace_fields!(SpeechStream: running);
