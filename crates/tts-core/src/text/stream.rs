//! The tokens of one text, encoded on demand.

use std::sync::Arc;

use crate::text::error::Result;
use crate::text::source::{Source, SourceText};
use crate::text::tokenizer::{Cursor, Tokenizer};

/// Bytes of a text that are read ahead of the tokenizer: many more than it examines for one word.
pub(super) const AHEAD_BYTES: usize = 16 << 10;
/// Fewer bytes than this are completed before the tokenizer continues.
const MIN_AHEAD_BYTES: usize = 8 << 10;

/// The ids of one text, encoded on demand.
#[derive(Debug)]
pub(super) struct TokenStream {
    tokenizer: Arc<Tokenizer>,
    source: Source,
    /// The text around the cursor.
    buffer: String,
    is_complete: bool,
    cursor: Cursor,
}

impl TokenStream {
    /// Encodes a text that is held by the stream.
    pub(super) fn new(tokenizer: Arc<Tokenizer>, text: String) -> Self {
        Self {
            tokenizer,
            source: Source::Whole,
            buffer: text,
            is_complete: true,
            cursor: Cursor::default(),
        }
    }

    /// Encodes the normalized form of a text, of which only a little is held.
    pub(super) fn normalized(tokenizer: Arc<Tokenizer>, text: Arc<SourceText>) -> Self {
        let bytes = text.len().min(AHEAD_BYTES);
        Self {
            source: Source::normalized(text),
            // The last character and an inserted full stop can exceed the bytes.
            buffer: String::with_capacity(bytes + 8),
            is_complete: false,
            ..Self::new(tokenizer, String::new())
        }
    }

    /// Removes the first `count` runs of characters that became the unknown token, and returns them.
    pub(super) fn take_unknown(&mut self, count: usize) -> String {
        self.cursor.take_unknown(count)
    }

    /// Appends some more ids to `ids` (possibly none); returns `false` at the end.
    pub(super) fn advance(&mut self, ids: &mut Vec<u32>) -> Result<bool> {
        let read = self.cursor.position(&self.tokenizer);
        if !self.is_complete && self.buffer.len() - read < MIN_AHEAD_BYTES {
            self.buffer.drain(..read);
            self.cursor.rebase(read);
            self.is_complete = self.source.fill(&mut self.buffer, AHEAD_BYTES);
        }
        self.tokenizer
            .advance(&self.buffer, self.is_complete, &mut self.cursor, ids)
    }
}
