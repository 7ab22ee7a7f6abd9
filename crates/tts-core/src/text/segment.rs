//! Cutting a sequence of tokens behind runs of boundary tokens.

use std::ops::Range;

use crate::error::Result;
use crate::text::tokenizer::{TokenStream, Tokenizer};
use crate::text::unicode::is_digit;

/// How many tokens to decode on either side of a full stop when looking for digits; doubled until
/// they are enough, which most often they are at once, since few tokens decode to nothing.
const WINDOW_TOKENS: usize = WINDOW_CHARS;
/// A window that decodes to at least this many characters shows the two at its inner end as they
/// are: a character cut at the outer end leaves at most three broken bytes.
const WINDOW_CHARS: usize = 5;
/// Tokens behind the current segment that are kept, for what a full stop follows: many more than one
/// character takes.
const KEPT_TOKENS: usize = 64;
/// Tokens behind the current segment at which all but [`KEPT_TOKENS`] are dropped, so that a text of any
/// length takes no more than its longest segment.
const MOST_TOKENS_BEHIND: usize = 256;
/// A UTF-8 character has at most this many bytes more than its first.
const CONTINUATION_BYTES: usize = 3;

/// The segments of a sequence of tokens: each ends with a run of boundary tokens, or with the
/// sequence.
#[derive(Debug)]
pub(super) struct Segments {
    /// The tokens so far, but for those far behind the current segment.
    tokens: Vec<u32>,
    /// Where more come from; `None` once all are there.
    source: Option<TokenStream>,
    boundaries: Vec<u32>,
    /// Whether a full stop between two digits is not a boundary.
    keep_decimals: bool,
    /// Where the current segment begins.
    start: usize,
    /// The next token to look at.
    cursor: usize,
    after_boundary: bool,
    finished: bool,
}

impl Segments {
    /// Cuts what `source` yields behind each run of the tokens in `boundaries`.
    pub(super) fn new(source: TokenStream, boundaries: Vec<u32>, keep_decimals: bool) -> Self {
        Self {
            tokens: Vec::new(),
            source: Some(source),
            boundaries,
            keep_decimals,
            start: 0,
            cursor: 0,
            after_boundary: false,
            finished: false,
        }
    }

    /// The tokens of the next segment. There is always one, of no tokens if there are none.
    pub(super) fn next(&mut self, tokenizer: &Tokenizer) -> Result<Option<&[u32]>> {
        self.drop_what_is_behind();
        while !self.finished {
            self.fill(self.cursor + 1)?;
            let Some(token) = self.tokens.get(self.cursor) else {
                self.finished = true;
                return Ok(Some(&self.tokens[self.start..]));
            };
            if self.boundaries.contains(token) {
                self.after_boundary = true;
            } else if std::mem::take(&mut self.after_boundary)
                && !(self.keep_decimals && self.is_inside_decimal(tokenizer)?)
            {
                let segment = self.start..self.cursor;
                self.start = self.cursor;
                self.cursor += 1;
                return Ok(Some(&self.tokens[segment]));
            }
            self.cursor += 1;
        }
        Ok(None)
    }

    fn drop_what_is_behind(&mut self) {
        if self.start > MOST_TOKENS_BEHIND {
            let dropped = self.start - KEPT_TOKENS;
            self.tokens.drain(..dropped);
            self.start -= dropped;
            self.cursor -= dropped;
        }
    }

    /// Reads from the source until there are `count` tokens or no more.
    fn fill(&mut self, count: usize) -> Result<()> {
        while self.tokens.len() < count
            && let Some(source) = &mut self.source
        {
            if !source.advance(&mut self.tokens)? {
                self.source = None;
            }
        }
        Ok(())
    }

    /// Whether the tokens before the cursor decode to a text that ends with a digit and a full
    /// stop, and those from it on to one that begins with a digit.
    ///
    /// Only the tokens near the cursor are decoded; decoding all on each side at each boundary
    /// would take quadratic time. That gives the same answer: a token decodes to the same text
    /// wherever it stands, except that leading spaces are dropped (the windows grow until enough is
    /// left) and that bytes cut from their character, or from the run of bytes they stand in, come
    /// out as U+FFFD. The latter never looks like a digit or a full stop, so it is enough that one
    /// of the possible cuts of a character shows what is looked for.
    fn is_inside_decimal(&mut self, tokenizer: &Tokenizer) -> Result<bool> {
        Ok(self.ends_with_digit_and_stop(tokenizer)? && self.continues_with_digit(tokenizer)?)
    }

    fn ends_with_digit_and_stop(&self, tokenizer: &Tokenizer) -> Result<bool> {
        let shows = |text: &str| {
            let mut from_end = text.chars().rev();
            from_end.next() == Some('.') && from_end.next().is_some_and(is_digit)
        };
        let mut length = WINDOW_TOKENS;
        loop {
            let start = self.cursor.saturating_sub(length);
            let text = tokenizer.decode(&self.tokens[start..self.cursor])?;
            if shows(&text) && (start == 0 || has_chars(&text, WINDOW_CHARS)) {
                return Ok(true);
            }
            if start == 0 {
                return Ok(false);
            }
            if has_chars(&text, WINDOW_CHARS) {
                let cuts = start.saturating_sub(CONTINUATION_BYTES)..start;
                return any_cut(&text, cuts, |cut| {
                    Ok(shows(&tokenizer.decode(&self.tokens[cut..self.cursor])?))
                });
            }
            length *= 2;
        }
    }

    fn continues_with_digit(&mut self, tokenizer: &Tokenizer) -> Result<bool> {
        let shows = |text: &str| text.chars().next().is_some_and(is_digit);
        let mut length = WINDOW_TOKENS;
        loop {
            self.fill(self.cursor + length + CONTINUATION_BYTES)?;
            let rest = &self.tokens[self.cursor..];
            let is_all = rest.len() <= length;
            let text = tokenizer.decode(&rest[..length.min(rest.len())])?;
            if shows(&text) {
                return Ok(true);
            }
            if is_all {
                return Ok(false);
            }
            if has_chars(&text, WINDOW_CHARS) {
                let cuts = length + 1..rest.len().min(length + CONTINUATION_BYTES) + 1;
                return any_cut(&text, cuts, |cut| {
                    Ok(shows(&tokenizer.decode(&rest[..cut])?))
                });
            }
            length *= 2;
        }
    }
}

fn has_chars(text: &str, count: usize) -> bool {
    text.chars().nth(count - 1).is_some()
}

/// Whether `shows` holds at one of `cuts`, which need trying only where `text` has broken bytes.
fn any_cut(
    text: &str,
    mut cuts: Range<usize>,
    mut shows: impl FnMut(usize) -> Result<bool>,
) -> Result<bool> {
    if !text.contains(char::REPLACEMENT_CHARACTER) {
        return Ok(false);
    }
    cuts.try_fold(false, |found, cut| Ok(found || shows(cut)?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::text::tokenizer::TokenizerFormat;

    #[test]
    fn a_long_text_is_cut_as_a_short_one_and_its_tokens_do_not_pile_up() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity/tokenizer.model");
        let bytes = std::fs::read(&path).unwrap();
        let format = TokenizerFormat::SentencePiece;
        let tokenizer = Arc::new(Tokenizer::from_bytes(format, &bytes, &path).unwrap());
        let sentence = "It costs 3.14 dollars, or 2.50 at night! ";
        let stop = *tokenizer.encode("!").unwrap().last().unwrap();
        let point = *tokenizer.encode(".").unwrap().last().unwrap();
        let stream = TokenStream::new(tokenizer.clone(), sentence.repeat(1000));
        let mut segments = Segments::new(stream, vec![stop, point], true);
        let mut seen = 0;
        let mut second = None;
        while let Some(segment) = segments.next(&tokenizer).unwrap().map(<[u32]>::to_vec) {
            seen += 1;
            if (2..1000).contains(&seen) {
                assert_eq!(second.get_or_insert_with(|| segment.clone()), &segment);
            }
            let (longest, kept) = (second.as_ref().map_or(0, Vec::len), segments.tokens.len());
            assert!(
                kept < MOST_TOKENS_BEHIND + 20 * (longest + WINDOW_TOKENS),
                "{kept} tokens at segment {seen}"
            );
        }
        assert_eq!(seen, 1000);
    }
}
