//! Speech that ends early.

use std::fmt;

use crate::audio::Audio;
use crate::error::Error;

/// Speech that ended early: the error, and the audio generated before it.
///
/// `?` converts it to its error and discards the audio. `P` is [`Audio`] for one text. For a batch,
/// it is `Vec<Audio>` with one item per text.
///
/// ```no_run
/// # fn example(model: &tts_core::Model, request: tts_core::SpeechRequest) {
/// match model.generate(request) {
///     Ok(audio) => println!("{:?} of speech", audio.duration()),
///     Err(end) => println!("{}, after {:?} of speech", end.error, end.partial.duration()),
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Interrupted<P = Audio, E = Error> {
    /// Why the speech ended. Boxed, to keep results small.
    pub error: Box<E>,
    /// The audio so far; empty if generation did not start.
    pub partial: P,
}

impl<P, E> Interrupted<P, E> {
    /// Pairs an error with the audio so far.
    pub fn new(error: E, partial: P) -> Self {
        Self {
            error: Box::new(error),
            partial,
        }
    }

    /// Converts the error.
    pub fn map_error<F>(self, convert: impl FnOnce(E) -> F) -> Interrupted<P, F> {
        Interrupted {
            error: Box::new(convert(*self.error)),
            partial: self.partial,
        }
    }

    /// Converts the audio.
    pub fn map_partial<Q>(self, convert: impl FnOnce(P) -> Q) -> Interrupted<Q, E> {
        Interrupted {
            error: self.error,
            partial: convert(self.partial),
        }
    }
}

impl<P, E: fmt::Display> fmt::Display for Interrupted<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<P: fmt::Debug, E: std::error::Error> std::error::Error for Interrupted<P, E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl<P> From<Interrupted<P>> for Error {
    fn from(interrupted: Interrupted<P>) -> Self {
        *interrupted.error
    }
}
