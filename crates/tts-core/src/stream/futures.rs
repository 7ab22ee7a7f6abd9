//! `futures_core::Stream` for speech.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::SpeechStream;
use crate::audio::Audio;
use crate::error::Result;

/// Yields the same chunks as the iterator, without blocking.
impl futures_core::Stream for SpeechStream {
    type Item = Result<Audio>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.running.poll_next(context);
        polled.map(|item| item.map(|chunk| chunk.map(|chunk| self.audio(chunk))))
    }
}
