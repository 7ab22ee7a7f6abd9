//! One tokenizer type over both file formats.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::text::json::JsonTokenizer;
use crate::text::sentencepiece::{Progress, SentencePiece};

/// Which file format a tokenizer has (`lookup_table.tokenizer` in a configuration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerFormat {
    /// A SentencePiece `.model` file of the unigram kind.
    SentencePiece,
    /// A Hugging Face `tokenizer.json`.
    #[serde(alias = "json")]
    Tokenizers,
}

/// Turns text into the ids of a model's vocabulary, and back.
///
/// Shared between threads behind an [`Arc`].
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
}

#[derive(Debug)]
enum Kind {
    SentencePiece(SentencePiece),
    Json(Box<JsonTokenizer>),
}

impl Tokenizer {
    /// Reads a tokenizer from the bytes of its file; `name` is what messages call it.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] when the bytes are not such a file, or ask for something that
    /// is not supported here.
    pub fn from_bytes(format: TokenizerFormat, bytes: &[u8], name: &Path) -> Result<Self> {
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
            kind: kind.map_err(|reason| Error::InvalidTokenizer {
                path: name.to_owned(),
                reason,
            })?,
        })
    }

    /// The number of ids: they run from 0 to one less than this.
    pub fn vocab_size(&self) -> usize {
        match &self.kind {
            Kind::SentencePiece(model) => model.vocab_size(),
            Kind::Json(json) => json.vocab_size(),
        }
    }

    /// The ids of `text`.
    ///
    /// # Errors
    /// [`Error::Tokenize`] when a `tokenizer.json` cannot express the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut cursor = Cursor::default();
        while self.advance(text, &mut cursor, &mut ids)? {}
        Ok(ids)
    }

    /// The text of `ids`. Text that the vocabulary cannot express comes back changed, and bytes
    /// that are not UTF-8 as U+FFFD.
    ///
    /// # Errors
    /// [`Error::UnknownTokenId`] for an id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        #[cfg(test)]
        work::add(ids.len());
        let vocab_size = self.vocab_size();
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(Error::UnknownTokenId {
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

    /// Appends the ids of the next stretch of `text`; `false` at its end.
    fn advance(&self, text: &str, cursor: &mut Cursor, ids: &mut Vec<u32>) -> Result<bool> {
        #[cfg(test)]
        let before = ids.len();
        let more = match &self.kind {
            Kind::SentencePiece(model) => Ok(model.advance(text, &mut cursor.sentencepiece, ids)),
            Kind::Json(json) => json
                .advance(text, &mut cursor.json, ids)
                .map_err(|reason| self.failed("encode", reason)),
        };
        #[cfg(test)]
        work::add(ids.len() - before);
        more
    }

    fn failed(&self, action: &'static str, reason: String) -> Error {
        Error::Tokenize {
            path: self.path.clone(),
            action,
            reason,
        }
    }
}

/// How far a text has been encoded, for either format.
#[derive(Debug, Default)]
struct Cursor {
    sentencepiece: Progress,
    json: usize,
}

/// The ids of one text, encoded no further than asked for.
#[derive(Debug)]
pub(super) struct TokenStream {
    tokenizer: Arc<Tokenizer>,
    text: String,
    cursor: Cursor,
}

impl TokenStream {
    pub(super) fn new(tokenizer: Arc<Tokenizer>, text: String) -> Self {
        Self {
            tokenizer,
            text,
            cursor: Cursor::default(),
        }
    }

    /// Appends some more ids to `ids` (now and then none); `false` once there are no more.
    pub(super) fn advance(&mut self, ids: &mut Vec<u32>) -> Result<bool> {
        self.tokenizer.advance(&self.text, &mut self.cursor, ids)
    }
}

/// Counts the tokens that this thread has encoded or decoded, for tests of how work grows.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local! {
        static TOKENS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn add(tokens: usize) {
        TOKENS.set(TOKENS.get() + tokens);
    }

    /// The tokens since this was last called.
    pub(in crate::text) fn take() -> usize {
        TOKENS.take()
    }
}
