//! Speech as it is made: one thread draws latents, another decodes them, the caller takes audio.

mod decode;
mod generate;
mod progress;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

pub use progress::Progress;

use crate::audio::Audio;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::noise::Noise;
use crate::options::GenerateOptions;
use crate::text;
use crate::voice::Voice;
#[cfg(test)]
pub(crate) use generate::max_frames;
use progress::Counters;

/// Frames that may wait between the threads: FlowLM runs ahead while Mimi is busy, by a few
/// seconds of speech at most.
const FRAMES_AHEAD: usize = 32;

/// Audio chunks that may wait for the caller. One who stops taking them stops the stream's
/// threads, and it holds no more than these.
const CHUNKS_AHEAD: usize = 8;

/// Speech that is being made: an iterator of audio chunks. Dropping it stops the work at the next
/// frame and waits for its threads to end.
///
/// # Examples
///
/// ```no_run
/// # fn example(model: &tts_core::Model, voice: &tts_core::Voice) -> tts_core::Result<()> {
/// let options = tts_core::GenerateOptions::default();
/// for chunk in model.stream(voice, "Hello world.", &options)? {
///     println!("{} samples more", chunk?.samples().len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SpeechStream {
    chunks: Option<Receiver<Result<Vec<f32>>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    counters: Arc<Counters>,
    sample_rate_hz: u32,
    seed: u64,
}

impl SpeechStream {
    pub(crate) fn start(
        model: &Model,
        voice: &Voice,
        text: &str,
        options: &GenerateOptions,
    ) -> Result<Self> {
        options.validate()?;
        // Emoji and punctuation alone are no words, and models babble on them.
        if !text.chars().any(char::is_alphanumeric) {
            return Err(Error::EmptyText);
        }
        let shared = &model.shared;
        let texts = text::chunks(
            shared.tokenizer.clone(),
            text,
            std::num::NonZeroUsize::new(options.max_tokens).unwrap_or(std::num::NonZeroUsize::MIN),
            &shared.text_options,
        )?;
        // Small enough for readers of JSON, whose numbers are often doubles.
        let seed = options.seed.unwrap_or_else(|| rand::random::<u32>().into());
        let temperature = options
            .temperature
            .unwrap_or(shared.config.default_temperature);
        let stop = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(Counters::default());
        let (frame_sender, frames) = sync_channel(FRAMES_AHEAD);
        let (chunk_sender, chunks) = sync_channel(CHUNKS_AHEAD);

        let generator = generate::Generator {
            model: model.clone(),
            voice: voice.clone(),
            texts,
            noise: Noise::new(seed, temperature, options.noise_clamp),
            options: options.clone(),
            stop: stop.clone(),
            counters: counters.clone(),
            frames: frame_sender,
        };
        let decoder = decode::Decoder {
            model: model.clone(),
            frames,
            chunks: chunk_sender,
            stop: stop.clone(),
            counters: counters.clone(),
        };
        let mut stream = Self {
            chunks: Some(chunks),
            threads: Vec::with_capacity(2),
            stop,
            counters,
            sample_rate_hz: model.sample_rate_hz(),
            seed,
        };
        stream.spawn("decoder", move || decoder.run())?;
        stream.spawn("generator", move || generator.run())?;
        Ok(stream)
    }

    /// Samples a second.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// Start of the noise generator: with it, the same text sounds the same again.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.counters.read()
    }

    fn spawn(&mut self, purpose: &'static str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new()
            .name(format!("pocket-tts-{purpose}"))
            .spawn(run)
            .map_err(|source| Error::Thread { purpose, source })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Stops the threads and waits for them. Whether one of them panicked.
    fn finish(&mut self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that waits to hand something over wakes up when nobody can take it.
        self.chunks = None;
        let results: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        results.iter().any(Result::is_err)
    }
}

impl Iterator for SpeechStream {
    type Item = Result<Audio>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.chunks.as_ref()?.recv() {
            Ok(Ok(samples)) => Some(Ok(Audio::new(samples, self.sample_rate_hz))),
            Ok(Err(error)) => {
                self.finish();
                Some(Err(error))
            }
            Err(_) => self.finish().then(|| {
                Err(Error::Internal(
                    "a thread panicked; please report this with the text and the options".into(),
                ))
            }),
        }
    }
}

impl Drop for SpeechStream {
    fn drop(&mut self) {
        self.finish();
    }
}
