//! Inputs and results of speech generation: texts, streams and interrupted speech.

use leak_detect::Trace;
use tts_core::{Audio, CancelToken, GenerateOptions, Model, PreparedText, Progress};

use crate::error::{Error, Result};

/// A text for a model: a string, or the result of [`TtsModel::prepare`](crate::TtsModel::prepare).
///
/// A prepared text can be planned and spoken, also repeatedly, without being tokenized again.
#[derive(Clone, Copy, Debug)]
pub enum SpeechText<'a> {
    /// A string, which is prepared when it is used.
    Text(&'a str),
    /// A prepared text. Its segments keep the options that it was prepared with.
    Prepared(&'a PreparedText),
}

impl SpeechText<'_> {
    /// Returns the text, prepared for a model.
    pub(crate) fn prepare(&self, model: &Model, options: &GenerateOptions) -> Result<PreparedText> {
        Ok(match self {
            Self::Text(text) => model.prepare(*text, options)?,
            Self::Prepared(text) => (*text).clone(),
        })
    }
}

impl<'a> From<&'a str> for SpeechText<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for SpeechText<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a PreparedText> for SpeechText<'a> {
    fn from(text: &'a PreparedText) -> Self {
        Self::Prepared(text)
    }
}

/// Speech that ended early: the error, and the audio generated before it.
///
/// `?` converts it to its [`Error`] and discards the audio.
///
/// ```
/// # #[cfg(feature = "builtin-voice")] {
/// # let model = pocket_tts::TtsModel::builtin()?;
/// # let voice = model.default_voice()?;
/// let audio = match model.generate(&voice, "Hello world.", &Default::default()) {
///     Ok(audio) => audio,
///     Err(end) => {
///         eprintln!("{}", end.error);
///         end.partial
///     }
/// };
/// # assert!(!audio.samples().is_empty());
/// # }
/// # Ok::<(), pocket_tts::Error>(())
/// ```
pub type Interrupted<P = Audio> = tts_core::Interrupted<P, Error>;

impl<P> From<Interrupted<P>> for Error {
    fn from(interrupted: Interrupted<P>) -> Self {
        *interrupted.error
    }
}

impl From<tts_core::text::TextError> for Error {
    fn from(error: tts_core::text::TextError) -> Self {
        Self::Core(error.into())
    }
}

impl From<tts_core::MemoryError> for Error {
    fn from(error: tts_core::MemoryError) -> Self {
        Self::Core(error.into())
    }
}

impl From<tts_core::InvalidSetting> for Error {
    fn from(error: tts_core::InvalidSetting) -> Self {
        Self::Core(error.into())
    }
}

/// Speech that is being generated: an iterator of audio chunks. An error is the last item.
///
/// Dropping the stream cancels it without blocking. Its threads stop at the next frame and then release
/// their memory; [`Self::wait`] returns only after that.
///
/// The stream's threads and its channel cannot be traced: while the threads run, they are external owners of
/// the model and the voice for the [detector](crate::memory::get_cycle_detector).
#[derive(Debug, Trace)]
pub struct SpeechStream(tts_core::SpeechStream);

impl SpeechStream {
    pub(crate) fn new(stream: tts_core::SpeechStream) -> Self {
        Self(stream)
    }

    /// Returns the sample rate.
    pub fn sample_rate_hz(&self) -> u32 {
        self.0.sample_rate_hz()
    }

    /// Returns the seed of the noise generator. The same text with the same seed gives the same audio.
    pub fn seed(&self) -> u64 {
        self.0.seed()
    }

    /// Returns the number of segments generated together while memory allows it.
    pub fn batch_size(&self) -> usize {
        self.0.batch_size()
    }

    /// Returns the progress of the stream.
    pub fn progress(&self) -> Progress {
        self.0.progress()
    }

    /// Returns a token that cancels the stream from another thread, also while this one waits for the next
    /// chunk. The iterator then ends.
    pub fn cancel_token(&self) -> CancelToken {
        self.0.cancel_token()
    }

    /// Cancels the stream without blocking. The iterator yields no more chunks.
    pub fn cancel(&mut self) {
        self.0.cancel();
    }

    /// Cancels the stream and blocks until its threads have ended and released their memory.
    pub fn wait(self) {
        self.0.wait();
    }
}

impl Iterator for SpeechStream {
    type Item = Result<Audio>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map_err(Error::from))
    }
}

/// Yields the same chunks as the iterator, without blocking.
#[cfg(feature = "futures")]
impl futures_core::Stream for SpeechStream {
    type Item = Result<Audio>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let polled = std::pin::Pin::new(&mut self.0).poll_next(context);
        polled.map(|item| item.map(|chunk| chunk.map_err(Error::from)))
    }
}
