//! The memory of prepared texts.

use super::{CUT_AT_ONCE_BYTES, Inner, PreparedText, STORED_BYTES, Segment};
use crate::text::segment::sentence_tokens;
use crate::text::stream::AHEAD_BYTES;
use crate::text::tokenizer::Tokenizer;

/// Allocations of a prepared text whose size does not depend on the text or the tokenizer: the state of
/// cutting, quoted text, options.
const BOOKKEEPING_BYTES: usize = 64 << 10;

/// Texts and lists of tokens of one sentence that are held together: the sentence, the clauses, the
/// current segment, and its normalized form.
const SENTENCE_COPIES: usize = 4;

/// Bytes of text whose tokens are encoded together: a word of maximum length.
const WORD_BYTES: usize = 5 << 10;

impl PreparedText {
    /// Returns the bytes that the prepared text holds: the text as it was given, and its segments if
    /// they are stored. Clones share them.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let inner = &self.inner;
        let segments = inner.segments.iter().flatten().map(Segment::size_bytes);
        (size_of::<Inner>() + inner.text.size_bytes()) as u64 + segments.sum::<u64>()
    }

    /// Returns an upper bound of the bytes that cutting the text on demand allocates at any time,
    /// beside what the text holds and the segments that were taken from it; 0 if its segments are
    /// stored. It does not depend on the text.
    ///
    /// Every iterator of [`Self::segments`], and so every stream, allocates this on its own.
    #[must_use]
    pub fn cutting_bytes(&self) -> u64 {
        let inner = &self.inner;
        match inner.segments {
            Some(_) => 0,
            None => cutting_bytes(&inner.tokenizer, inner.rules.max_tokens.get()),
        }
    }
}

impl Segment {
    /// Returns the bytes of a stored segment.
    pub(super) fn size_bytes(&self) -> u64 {
        let tokens = self.tokens.capacity() * size_of::<u32>();
        let unspeakable = self.unspeakable.capacity() * size_of::<char>();
        (size_of::<Self>() + tokens + unspeakable) as u64
    }
}

/// Returns an upper bound of the bytes that preparing a text of `text_bytes` allocates at any time,
/// including the text.
pub(crate) fn preparing_bytes(tokenizer: &Tokenizer, text_bytes: usize, max_tokens: usize) -> u64 {
    let cut_at_once = match text_bytes {
        // The list of segments grows by doubling.
        ..=CUT_AT_ONCE_BYTES => 2 * STORED_BYTES + cutting_bytes(tokenizer, max_tokens),
        _ => 0,
    };
    (text_bytes + size_of::<Inner>() + BOOKKEEPING_BYTES) as u64 + cut_at_once
}

/// Returns an upper bound of the bytes that cutting a text on demand allocates at any time.
fn cutting_bytes(tokenizer: &Tokenizer, max_tokens: usize) -> u64 {
    let bytes_per_token = size_of::<u32>() + tokenizer.longest_token_bytes();
    // A vector that grows by doubling has up to twice the capacity that it uses, and one vector at a time
    // is copied to a larger one.
    let sentence_bytes = sentence_tokens(max_tokens)
        .saturating_mul(bytes_per_token)
        .saturating_mul(2 * SENTENCE_COPIES + 1);
    // The stream of the text and that of a sentence, with a token for each byte of a word.
    let ahead_bytes = 2 * (AHEAD_BYTES + 3 * size_of::<u32>() * WORD_BYTES);
    let fixed_bytes = ahead_bytes + tokenizer.scratch_bytes() + BOOKKEEPING_BYTES;
    sentence_bytes.saturating_add(fixed_bytes) as u64
}
