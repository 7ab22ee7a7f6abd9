//! The parts that texts are spoken in.

use std::num::NonZeroUsize;

use crate::error::{Error, Result};
use crate::model::{Model, Shared};
use crate::options::GenerateOptions;
use crate::text::{self, Chunks};

/// Tokens spoken in a second, as the reference estimates it to bound the length of speech.
const TOKENS_PER_SECOND: f64 = 3.0;
/// Seconds added to that estimate, as in the reference.
const PADDING_SECONDS: f64 = 2.0;
/// Added to the frames guessed from a text's length, as in the reference.
const EXTRA_FRAMES_AFTER_EOS: usize = 2;

/// How long a part of a text is, and how long its speech may become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartSize {
    /// Tokens of its text.
    pub tokens: usize,
    /// Most frames of its speech, which usually ends well before.
    pub max_frames: usize,
}

impl PartSize {
    pub(crate) fn new(tokens: usize, frame_rate: f64) -> Self {
        Self {
            tokens,
            max_frames: max_frames(tokens, frame_rate),
        }
    }

    /// Most positions that it takes in FlowLM: its tokens, the start of its speech, and a latent for
    /// each frame but the last.
    pub fn positions(&self) -> usize {
        self.tokens + self.max_frames
    }
}

/// Most frames of a text.
pub(crate) fn max_frames(tokens: usize, frame_rate: f64) -> usize {
    ((tokens as f64 / TOKENS_PER_SECOND + PADDING_SECONDS) * frame_rate).ceil() as usize
}

/// A part of a text, ready to be spoken.
#[derive(Debug)]
pub(super) struct Part {
    /// Which text it belongs to.
    pub(super) request: usize,
    /// Its number within that text.
    pub(super) index: u64,
    pub(super) tokens: Vec<u32>,
    pub(super) size: PartSize,
    pub(super) frames_after_eos: usize,
}

/// The parts of several texts, one text after the other, each made when it is asked for.
#[derive(Debug)]
pub(super) struct Parts {
    model: Model,
    texts: std::vec::IntoIter<Chunks>,
    current: Option<Chunks>,
    request: usize,
    index: u64,
    frames_after_eos: Option<usize>,
}

impl Parts {
    pub(super) fn new<'a>(
        model: &Model,
        texts: impl IntoIterator<Item = &'a str>,
        options: &GenerateOptions,
    ) -> Result<Self> {
        let shared = &model.shared;
        let max_tokens = NonZeroUsize::new(options.max_tokens).unwrap_or(NonZeroUsize::MIN);
        let chunks = |text: &str| {
            // Emoji and punctuation alone are no words, and models babble on them.
            if !text.chars().any(char::is_alphanumeric) {
                return Err(Error::EmptyText);
            }
            let tokenizer = shared.tokenizer.clone();
            text::chunks(tokenizer, text, max_tokens, &shared.text_options)
        };
        let texts: Vec<Chunks> = texts.into_iter().map(chunks).collect::<Result<_>>()?;
        let mut texts = texts.into_iter();
        Ok(Self {
            model: model.clone(),
            current: texts.next(),
            texts,
            request: 0,
            index: 0,
            frames_after_eos: options.frames_after_eos,
        })
    }

    fn prepare(&self, text: &str) -> Result<Part> {
        let shared: &Shared = &self.model.shared;
        let prepared = text::prepare(text, &shared.text_options)?;
        let tokens = shared.tokenizer.encode(&prepared.text)?;
        Ok(Part {
            request: self.request,
            index: self.index,
            size: PartSize::new(tokens.len(), shared.config.mimi.frame_rate),
            tokens,
            frames_after_eos: self
                .frames_after_eos
                .or(shared.config.model_recommended_frames_after_eos)
                .unwrap_or(prepared.frames_after_eos_guess + EXTRA_FRAMES_AFTER_EOS),
        })
    }
}

impl Iterator for Parts {
    type Item = Result<Part>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.current.as_mut()?.next() {
                Some(chunk) => {
                    let part = chunk.and_then(|chunk| self.prepare(&chunk.text));
                    self.index += 1;
                    return Some(part);
                }
                None => {
                    self.current = self.texts.next();
                    self.request += 1;
                    self.index = 0;
                }
            }
        }
    }
}
