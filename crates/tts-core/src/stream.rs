//! Speech as it is made: one thread draws latents, another decodes them, the caller takes audio.

mod decode;
mod generate;
mod part;
mod progress;
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

pub use part::PartSize;
#[cfg(test)]
pub(crate) use part::max_frames;
pub use progress::Progress;

use crate::audio::Audio;
use crate::error::{Error, Result};
use crate::memory::{MemoryLimit, Reservation};
use crate::model::Model;
use crate::options::GenerateOptions;
use crate::voice::Voice;
use decode::Chunk;
pub(crate) use decode::{FRAMES_PER_CALL, FRAMES_WAITING_PER_PART};
use part::Parts;
use progress::Counters;

/// Frames that may wait between the threads: FlowLM runs ahead while Mimi is busy, by a few
/// seconds of speech at most.
pub(crate) const FRAMES_AHEAD: usize = 32;

/// Audio chunks that may wait for the caller. One who stops taking them stops the stream's
/// threads, and it holds no more than these.
pub(crate) const CHUNKS_AHEAD: usize = 8;

/// Something to say, and who says it.
#[derive(Clone, Debug)]
pub struct SpeechRequest {
    /// The voice.
    pub voice: Voice,
    /// The text.
    pub text: String,
}

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
    speech: Speech,
    sample_rate_hz: u32,
}

impl SpeechStream {
    pub(crate) fn start(
        model: &Model,
        voice: &Voice,
        text: &str,
        options: &GenerateOptions,
        limit: Option<MemoryLimit>,
    ) -> Result<Self> {
        Ok(Self {
            speech: Speech::start(model, &[(voice, text)], options, limit, 0)?,
            sample_rate_hz: model.sample_rate_hz(),
        })
    }

    /// Samples a second.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// Start of the noise generator: with it, the same text sounds the same again.
    pub fn seed(&self) -> u64 {
        self.speech.seed
    }

    /// Parts of the text that are spoken at once, as far as memory allows.
    pub fn batch_size(&self) -> usize {
        self.speech.at_once
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.speech.counters.read()
    }
}

impl Iterator for SpeechStream {
    type Item = Result<Audio>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.speech.next()?;
        Some(chunk.map(|chunk| Audio::new(chunk.samples, self.sample_rate_hz)))
    }
}

/// Texts that are being spoken. Their chunks come text by text.
#[derive(Debug)]
struct Speech {
    chunks: Option<Receiver<Result<Chunk>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    counters: Arc<Counters>,
    seed: u64,
    at_once: usize,
}

impl Speech {
    fn start(
        model: &Model,
        requests: &[(&Voice, &str)],
        options: &GenerateOptions,
        limit: Option<MemoryLimit>,
        audio_bytes: usize,
    ) -> Result<Self> {
        options.validate()?;
        let parts = || Parts::new(model, requests.iter().map(|(_, text)| *text), options);
        let wanted = options.batch_size.unwrap_or(1);
        let sizes = match &limit {
            // A promise needs to know the longest part before the first is spoken.
            Some(_) => sizes(parts()?)?,
            None => vec![model.part_of_tokens(options.max_tokens)],
        };
        let need = model.stream_cost().need(&sizes).with_audio(audio_bytes);
        let (reservation, at_once) = match &limit {
            Some(limit) => limit.admit(model.memory_pool(), &need, wanted.min(sizes.len()))?,
            None => (Reservation::take(need.bytes(wanted)), wanted),
        };
        let reservation = Arc::new(reservation);
        // Small enough for readers of JSON, whose numbers are often doubles.
        let seed = options.seed.unwrap_or_else(|| rand::random::<u32>().into());
        let stop = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(Counters::default());
        let (frame_sender, frames) = sync_channel(FRAMES_AHEAD);
        let (chunk_sender, chunks) = sync_channel(CHUNKS_AHEAD);

        let generator = generate::Generator {
            model: model.clone(),
            voices: requests.iter().map(|(voice, _)| voice.kv.clone()).collect(),
            parts: parts()?,
            at_once,
            seed,
            options: options.clone(),
            limit,
            stop: stop.clone(),
            counters: counters.clone(),
            frames: frame_sender,
            _reservation: reservation.clone(),
        };
        let decoder = decode::Decoder {
            model: model.clone(),
            frames,
            chunks: chunk_sender,
            max_waiting: match at_once {
                1 => FRAMES_PER_CALL,
                more => more * FRAMES_WAITING_PER_PART,
            },
            stop: stop.clone(),
            counters: counters.clone(),
            _reservation: reservation,
        };
        let mut speech = Self {
            chunks: Some(chunks),
            threads: Vec::with_capacity(2),
            stop,
            counters,
            seed,
            at_once,
        };
        speech.spawn("decoder", move || decoder.run())?;
        speech.spawn("generator", move || generator.run())?;
        Ok(speech)
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

impl Iterator for Speech {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.chunks.as_ref()?.recv() {
            Ok(Ok(chunk)) => Some(Ok(chunk)),
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

impl Drop for Speech {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How long the parts are.
fn sizes(parts: Parts) -> Result<Vec<PartSize>> {
    parts.map(|part| Ok(part?.size)).collect()
}

impl Model {
    /// How a text would be cut into parts, and how long these are.
    ///
    /// # Errors
    ///
    /// The text is empty or a setting is out of range.
    pub fn parts(&self, text: &str, options: &GenerateOptions) -> Result<Vec<PartSize>> {
        options.validate()?;
        sizes(Parts::new(self, [text], options)?)
    }

    /// A part of this many tokens.
    fn part_of_tokens(&self, tokens: usize) -> PartSize {
        PartSize::new(tokens, self.config().mimi.frame_rate)
    }
}
