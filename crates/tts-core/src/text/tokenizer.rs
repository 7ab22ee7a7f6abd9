//! A tokenizer for either file format.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::text::error::{Result, TextError};
use crate::text::json::{self, JsonTokenizer};
use crate::text::sentencepiece::{Progress, SentencePiece};
use crate::text::unicode::is_space;

/// The file format of a tokenizer (`lookup_table.tokenizer` in a config).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerFormat {
    /// A SentencePiece `.model` file of the unigram kind.
    SentencePiece,
    /// A Hugging Face `tokenizer.json`.
    #[serde(alias = "json")]
    Tokenizers,
}

/// Encodes text to the token ids of a model's vocabulary, and decodes them.
///
/// Use an [`Arc`](std::sync::Arc) to share a tokenizer between threads.
///
/// ```no_run
/// use std::path::Path;
/// use tts_core::text::{Tokenizer, TokenizerFormat};
///
/// let path = Path::new("tokenizer.model");
/// let tokenizer =
///     Tokenizer::from_bytes(TokenizerFormat::SentencePiece, &std::fs::read(path)?, path)?;
/// let ids = tokenizer.encode("Hello world.")?;
/// assert_eq!(tokenizer.decode(&ids)?, "Hello world.");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    kind: Kind,
    /// Tokens encoded or decoded, for tests that measure work.
    #[cfg(test)]
    work: std::sync::atomic::AtomicUsize,
}

#[derive(Debug)]
enum Kind {
    SentencePiece(SentencePiece),
    Json(Box<JsonTokenizer>),
}

impl Tokenizer {
    /// Reads a tokenizer from the bytes of its file; `name` identifies it in messages.
    ///
    /// # Errors
    ///
    /// [`TextError::InvalidTokenizer`] if the bytes are not such a file or need an unsupported
    /// feature.
    pub fn from_bytes(
        format: TokenizerFormat,
        bytes: &[u8],
        name: impl AsRef<Path>,
    ) -> Result<Self> {
        let name = name.as_ref();
        let kind = match format {
            TokenizerFormat::SentencePiece => {
                SentencePiece::from_bytes(bytes).map(Kind::SentencePiece)
            }
            TokenizerFormat::Tokenizers => {
                JsonTokenizer::from_bytes(bytes).map(|json| Kind::Json(Box::new(json)))
            }
        };
        Ok(Self {
            path: name.to_owned(),
            kind: kind.map_err(|reason| TextError::InvalidTokenizer {
                path: name.to_owned(),
                reason,
            })?,
            #[cfg(test)]
            work: Default::default(),
        })
    }

    /// Returns the size of the vocabulary. Ids run from 0 to one less than this.
    pub fn vocab_size(&self) -> usize {
        match &self.kind {
            Kind::SentencePiece(model) => model.vocab_size(),
            Kind::Json(json) => json.vocab_size(),
        }
    }

    /// Encodes `text`.
    ///
    /// # Errors
    ///
    /// [`TextError::Tokenize`] if a `tokenizer.json` cannot express the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut cursor = Cursor::default();
        while self.advance(text, true, &mut cursor, &mut ids)? {}
        Ok(ids)
    }

    /// Decodes `ids`. Characters that the vocabulary cannot express are replaced, and bytes that are
    /// not UTF-8 become U+FFFD.
    ///
    /// # Errors
    ///
    /// [`TextError::UnknownTokenId`] for an id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        #[cfg(test)]
        self.add_work(ids.len());
        let vocab_size = self.vocab_size();
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(TextError::UnknownTokenId {
                path: self.path.clone(),
                id,
                vocab_size,
            });
        }
        match &self.kind {
            Kind::SentencePiece(model) => Ok(model.decode(ids)),
            Kind::Json(json) => json
                .decode(ids)
                .map_err(|reason| self.failed("decode", reason)),
        }
    }

    /// Returns the characters of `text` that the vocabulary cannot express, each once, in order of
    /// first appearance; `ids` are the tokens of `text`.
    ///
    /// These are the characters that encode to the unknown token or, in tokenizers with byte
    /// fallback, to single bytes: models see such bytes too rarely in training to pronounce them.
    /// Whitespace is never included. Where a SentencePiece model normalizes characters, the result
    /// has the normalized ones.
    ///
    /// # Errors
    ///
    /// As [`Self::encode`].
    pub(super) fn unspeakable(&self, text: &str, ids: &[u32]) -> Result<Vec<char>> {
        let candidates = match &self.kind {
            Kind::SentencePiece(model) if model.expresses_all(ids) => return Ok(Vec::new()),
            Kind::Json(json) if json.expresses_all(ids) => return Ok(Vec::new()),
            Kind::SentencePiece(model) => model.inexpressible(text),
            Kind::Json(json) => json
                .inexpressible(text)
                .map_err(|reason| self.failed("encode", reason))?,
        };
        #[cfg(test)]
        self.add_work(ids.len());
        Ok(distinct(&candidates))
    }

    /// Returns the bytes of the longest token's text.
    pub(super) fn longest_token_bytes(&self) -> usize {
        match &self.kind {
            Kind::SentencePiece(model) => model.longest_piece_bytes(),
            Kind::Json(json) => json.longest_token_bytes(),
        }
    }

    /// Returns an upper bound of the bytes that encoding two texts in turns takes beside text and ids.
    pub(super) fn scratch_bytes(&self) -> usize {
        match &self.kind {
            Kind::SentencePiece(_) => SentencePiece::SCRATCH_BYTES,
            Kind::Json(_) => JsonTokenizer::SCRATCH_BYTES,
        }
    }

    /// Whether a word begins with the token.
    pub(super) fn begins_word(&self, id: u32) -> bool {
        match &self.kind {
            Kind::SentencePiece(model) => model.begins_word(id),
            Kind::Json(json) => json.begins_word(id),
        }
    }

    /// Returns how many runs of characters became the unknown token in a text that was decoded from its
    /// tokens. Always 0 for a `tokenizer.json`, and with byte fallback.
    pub(super) fn count_unknown(&self, decoded: &str) -> usize {
        match &self.kind {
            Kind::SentencePiece(model) => model.count_unknown(decoded),
            Kind::Json(_) => 0,
        }
    }

    /// Appends the ids of the next stretch of `text`; returns `false` at its end. A text that is not
    /// complete continues after its end: at least 8 KiB of it follow the cursor.
    pub(super) fn advance(
        &self,
        text: &str,
        is_complete: bool,
        cursor: &mut Cursor,
        ids: &mut Vec<u32>,
    ) -> Result<bool> {
        #[cfg(test)]
        let before = ids.len();
        let more = match &self.kind {
            Kind::SentencePiece(model) => {
                Ok(model.advance(text, is_complete, &mut cursor.sentencepiece, ids))
            }
            Kind::Json(json) => json
                .advance(text, is_complete, &mut cursor.json, ids)
                .map_err(|reason| self.failed("encode", reason)),
        };
        #[cfg(test)]
        self.add_work(ids.len() - before);
        more
    }

    fn failed(&self, action: &'static str, reason: String) -> TextError {
        TextError::Tokenize {
            path: self.path.clone(),
            action,
            reason,
        }
    }

    #[cfg(test)]
    fn add_work(&self, tokens: usize) {
        self.work
            .fetch_add(tokens, std::sync::atomic::Ordering::Relaxed);
    }

    /// Returns the number of tokens encoded or decoded, on any thread, since the last call.
    #[cfg(test)]
    pub(crate) fn take_work(&self) -> usize {
        self.work.swap(0, std::sync::atomic::Ordering::Relaxed)
    }
}

/// Returns the characters of `text` other than whitespace, each once, in order of first appearance.
pub(super) fn distinct(text: &str) -> Vec<char> {
    let mut seen = HashSet::new();
    let characters = text.chars().filter(|&c| !is_space(c) && seen.insert(c));
    characters.collect()
}

/// The position up to which a text has been encoded, for either format.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    sentencepiece: Progress,
    json: json::Progress,
}

impl Cursor {
    /// Returns the bytes of the text that were read.
    pub(super) fn position(&self, tokenizer: &Tokenizer) -> usize {
        match tokenizer.kind {
            Kind::SentencePiece(_) => self.sentencepiece.position(),
            Kind::Json(_) => self.json.offset,
        }
    }

    /// Continues in a text without the first `bytes` bytes, which were read.
    pub(super) fn rebase(&mut self, bytes: usize) {
        self.sentencepiece.rebase(bytes);
        self.json.offset = self.json.offset.saturating_sub(bytes);
    }

    /// Removes the first `count` runs of characters that became the unknown token, and returns them.
    pub(super) fn take_unknown(&mut self, count: usize) -> String {
        self.sentencepiece.take_unknown(count)
    }
}

crate::traced::trace_fields!(Tokenizer:);
