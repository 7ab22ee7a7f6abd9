//! Splits a sequence of tokens after runs of boundary tokens.

use std::ops::Range;

use crate::text::error::Result;
use crate::text::stream::TokenStream;
use crate::text::tokenizer::Tokenizer;
use crate::text::unicode::is_digit;

/// Tokens to decode on either side of a full stop when looking for digits. Doubled until the decoded
/// text is long enough; usually the first window is, since few tokens decode to nothing.
const WINDOW_TOKENS: usize = WINDOW_CHARS;
/// In a window of at least this many characters, the two at the inner end are decoded correctly: a
/// character cut at the outer end leaves at most three invalid bytes.
const WINDOW_CHARS: usize = 5;
/// Tokens retained before the current piece, to look at what precedes a full stop: many more than
/// one character takes.
const RETAINED_TOKENS: usize = 64;
/// If more tokens than this precede the current piece, all but [`RETAINED_TOKENS`] are dropped. Memory
/// therefore depends on the longest piece, not on the length of the text.
const MAX_TOKENS_BEHIND: usize = 256;
/// Tokens on either side of a cut that are decoded to see whether it is inside a character.
const CUT_WINDOW_TOKENS: usize = 8;
/// A UTF-8 character has at most this many bytes more than its first.
const CONTINUATION_BYTES: usize = 3;

/// How a [`Splitter`] splits.
#[derive(Debug)]
pub(super) struct SplitRules {
    pub(super) boundaries: Vec<u32>,
    /// Whether a full stop between two digits is not a boundary.
    pub(super) keep_decimals: bool,
    /// Maximum tokens of a piece. A longer one is cut.
    pub(super) max_tokens: usize,
    /// Where a piece that is too long is cut if it can be: after the last run of these tokens.
    pub(super) weak_boundaries: Vec<u32>,
}

/// How a piece ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceEnd {
    /// With a run of boundary tokens, or with the sequence.
    Boundary,
    /// It was too long, and ends with a run of weak boundary tokens.
    WeakBoundary,
    /// It was too long, and has no boundary.
    Cut,
}

/// Splits a sequence of tokens into pieces. Each piece ends with a run of boundary tokens, or with the
/// sequence, or is cut because it is too long.
#[derive(Debug)]
pub(super) struct Splitter {
    /// The tokens read so far, without those far before the current piece.
    tokens: Vec<u32>,
    /// The source of further tokens.
    source: TokenStream,
    is_exhausted: bool,
    rules: SplitRules,
    /// How the last piece ended.
    piece_end: PieceEnd,
    /// Start of the current piece.
    start: usize,
    /// The next token to examine.
    cursor: usize,
    after_boundary: bool,
    finished: bool,
}

impl Splitter {
    /// Splits the tokens of `source`.
    pub(super) fn new(source: TokenStream, rules: SplitRules) -> Self {
        Self {
            tokens: Vec::new(),
            source,
            is_exhausted: false,
            rules,
            piece_end: PieceEnd::Boundary,
            start: 0,
            cursor: 0,
            after_boundary: false,
            finished: false,
        }
    }

    /// Returns the tokens of the next piece. The first piece always exists, even if it is empty.
    pub(super) fn next(&mut self, tokenizer: &Tokenizer) -> Result<Option<&[u32]>> {
        self.drop_tokens_behind();
        while !self.finished {
            self.fill(self.cursor + 1)?;
            let Some(token) = self.tokens.get(self.cursor) else {
                self.finished = true;
                self.piece_end = PieceEnd::Boundary;
                return Ok(Some(&self.tokens[self.start..]));
            };
            if self.rules.boundaries.contains(token) {
                self.after_boundary = true;
            } else if std::mem::take(&mut self.after_boundary)
                && !(self.rules.keep_decimals && self.is_inside_decimal(tokenizer)?)
            {
                let piece = self.start..self.cursor;
                self.start = self.cursor;
                self.cursor += 1;
                self.piece_end = PieceEnd::Boundary;
                return Ok(Some(&self.tokens[piece]));
            }
            if self.cursor - self.start >= self.rules.max_tokens {
                let (end, piece_end) = self.cut(tokenizer)?;
                let piece = self.start..end;
                self.start = end;
                self.cursor = end;
                self.after_boundary = false;
                self.piece_end = piece_end;
                return Ok(Some(&self.tokens[piece]));
            }
            self.cursor += 1;
        }
        Ok(None)
    }

    /// Removes the first `count` runs of characters that became the unknown token, and returns them.
    pub(super) fn take_unknown(&mut self, count: usize) -> String {
        self.source.take_unknown(count)
    }

    /// Returns how the last piece ended.
    pub(super) fn piece_end(&self) -> PieceEnd {
        self.piece_end
    }

    /// Returns where to cut a piece that is too long: after its last weak boundary, else before its last
    /// word, else between two characters.
    fn cut(&self, tokenizer: &Tokenizer) -> Result<(usize, PieceEnd)> {
        let is_weak = |index: usize| self.rules.weak_boundaries.contains(&self.tokens[index]);
        let ends = || (self.start + 1..=self.cursor).rev();
        if let Some(end) = ends().find(|&end| is_weak(end - 1) && !is_weak(end)) {
            return Ok((end, PieceEnd::WeakBoundary));
        }
        if let Some(end) = ends().find(|&end| tokenizer.begins_word(self.tokens[end])) {
            return Ok((end, PieceEnd::Cut));
        }
        for end in ends().take(1 + CONTINUATION_BYTES) {
            if !self.is_inside_character(end, tokenizer)? {
                return Ok((end, PieceEnd::Cut));
            }
        }
        Ok((self.cursor, PieceEnd::Cut))
    }

    /// Whether a cut before a token separates the bytes of a character.
    fn is_inside_character(&self, end: usize, tokenizer: &Tokenizer) -> Result<bool> {
        let before = &self.tokens[end.saturating_sub(CUT_WINDOW_TOKENS)..end];
        let after = &self.tokens[end..self.tokens.len().min(end + CUT_WINDOW_TOKENS)];
        let (before, after) = (tokenizer.decode(before)?, tokenizer.decode(after)?);
        Ok(before.ends_with(char::REPLACEMENT_CHARACTER)
            || after.starts_with(char::REPLACEMENT_CHARACTER))
    }

    fn drop_tokens_behind(&mut self) {
        if self.start > MAX_TOKENS_BEHIND {
            let dropped = self.start - RETAINED_TOKENS;
            self.tokens.drain(..dropped);
            self.start -= dropped;
            self.cursor -= dropped;
        }
    }

    /// Reads from the source until there are `count` tokens or the source ends.
    fn fill(&mut self, count: usize) -> Result<()> {
        while self.tokens.len() < count && !self.is_exhausted {
            self.is_exhausted = !self.source.advance(&mut self.tokens)?;
        }
        Ok(())
    }

    /// Whether the tokens before the cursor decode to a text that ends with a digit and a full
    /// stop, and those from it on to one that begins with a digit.
    ///
    /// Only the tokens near the cursor are decoded, because decoding both sides completely at each
    /// boundary would take quadratic time. The result is the same. A token decodes to the same text
    /// at any position, with two exceptions: leading spaces are dropped (the windows grow until
    /// enough is left), and bytes cut off from their character decode to U+FFFD. The latter is
    /// neither a digit nor a full stop, so one matching cut of a character is enough.
    fn is_inside_decimal(&mut self, tokenizer: &Tokenizer) -> Result<bool> {
        Ok(self.ends_with_digit_and_stop(tokenizer)? && self.continues_with_digit(tokenizer)?)
    }

    fn ends_with_digit_and_stop(&self, tokenizer: &Tokenizer) -> Result<bool> {
        let matches = |text: &str| {
            let mut from_end = text.chars().rev();
            from_end.next() == Some('.') && from_end.next().is_some_and(is_digit)
        };
        let mut length = WINDOW_TOKENS;
        loop {
            let start = self.cursor.saturating_sub(length);
            let text = tokenizer.decode(&self.tokens[start..self.cursor])?;
            if matches(&text) && (start == 0 || has_chars(&text, WINDOW_CHARS)) {
                return Ok(true);
            }
            if start == 0 {
                return Ok(false);
            }
            if has_chars(&text, WINDOW_CHARS) {
                let cuts = start.saturating_sub(CONTINUATION_BYTES)..start;
                return any_cut(&text, cuts, |cut| {
                    Ok(matches(&tokenizer.decode(&self.tokens[cut..self.cursor])?))
                });
            }
            length *= 2;
        }
    }

    fn continues_with_digit(&mut self, tokenizer: &Tokenizer) -> Result<bool> {
        let matches = |text: &str| text.chars().next().is_some_and(is_digit);
        let mut length = WINDOW_TOKENS;
        loop {
            self.fill(self.cursor + length + CONTINUATION_BYTES)?;
            let rest = &self.tokens[self.cursor..];
            let is_all = rest.len() <= length;
            let text = tokenizer.decode(&rest[..length.min(rest.len())])?;
            if matches(&text) {
                return Ok(true);
            }
            if is_all {
                return Ok(false);
            }
            if length > RETAINED_TOKENS {
                return Ok(false);
            }
            if has_chars(&text, WINDOW_CHARS) {
                let cuts = length + 1..rest.len().min(length + CONTINUATION_BYTES) + 1;
                return any_cut(&text, cuts, |cut| {
                    Ok(matches(&tokenizer.decode(&rest[..cut])?))
                });
            }
            length *= 2;
        }
    }
}

fn has_chars(text: &str, count: usize) -> bool {
    text.chars().nth(count - 1).is_some()
}

/// Whether `matches` holds at one of `cuts`. They are tried only if `text` has invalid bytes.
fn any_cut(
    text: &str,
    mut cuts: Range<usize>,
    mut matches: impl FnMut(usize) -> Result<bool>,
) -> Result<bool> {
    if !text.contains(char::REPLACEMENT_CHARACTER) {
        return Ok(false);
    }
    cuts.try_fold(false, |found, cut| Ok(found || matches(cut)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::tests::tokenizer;

    const TOKENIZERS: [&str; 4] = [
        "parity/tokenizer.model",
        "parity/tokenizer.json",
        "text/no_byte_fallback.model",
        "text/user_defined_keep_spaces.model",
    ];

    /// The sentences of `text` by definition: the whole text before and after each end of a sentence
    /// determines whether it is inside a decimal number.
    fn sentences_by_definition(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let ids = tokenizer.encode(text).unwrap();
        let ends = &tokenizer.encode(".!...?").unwrap()[1..];
        let is_digit = |c: Option<char>| c.is_some_and(|c| "0123456789²٣１".contains(c));
        let mut sentences = Vec::new();
        let mut start = 0;
        for index in 1..ids.len() {
            if ends.contains(&ids[index - 1]) && !ends.contains(&ids[index]) {
                let before = tokenizer.decode(&ids[..index]).unwrap();
                let after = tokenizer.decode(&ids[index..]).unwrap();
                let mut from_end = before.chars().rev();
                let is_decimal = from_end.next() == Some('.')
                    && is_digit(from_end.next())
                    && is_digit(after.chars().next());
                if !is_decimal {
                    sentences.push(tokenizer.decode(&ids[start..index]).unwrap());
                    start = index;
                }
            }
        }
        sentences.push(tokenizer.decode(&ids[start..]).unwrap());
        sentences
    }

    /// Texts of digits, punctuation and special characters in any order.
    fn numbers_and_stops() -> impl Strategy<Value = String> {
        const PIECES: &[&str] = &[
            ".", ".", "!", "?", " ", "   ", "1", "2.5", "²", "٣", "１", "é", "😀", "a", " the",
            "\u{fffd}", "▁", "\u{200b}", "5 .", "\t", ",",
        ];
        prop::collection::vec(prop::sample::select(PIECES), 1..40)
            .prop_map(|pieces| pieces.concat())
    }

    fn sentences_at(boundaries: Vec<u32>, max_tokens: usize) -> SplitRules {
        SplitRules {
            boundaries,
            keep_decimals: true,
            max_tokens,
            weak_boundaries: Vec::new(),
        }
    }

    #[test]
    fn cuts_a_long_piece_after_a_clause_or_before_a_word_or_between_characters() {
        for file in &TOKENIZERS[..2] {
            let tokenizer = tokenizer(file);
            for (unit, piece_end) in [
                ("the cat, ", PieceEnd::WeakBoundary),
                ("the cat ", PieceEnd::Cut),
                ("\u{1f600}", PieceEnd::Cut),
            ] {
                let text = unit.repeat(100);
                let stream = TokenStream::new(tokenizer.clone(), text.trim().to_owned());
                let comma = *tokenizer.encode(",").unwrap().last().unwrap();
                let mut rules = sentences_at(Vec::new(), 50);
                rules.weak_boundaries = vec![comma];
                let mut splitter = Splitter::new(stream, rules);
                let mut found = Vec::new();
                while let Some(ids) = splitter.next(&tokenizer).unwrap() {
                    assert!(ids.len() <= 50);
                    found.push(tokenizer.decode(ids).unwrap());
                    if !splitter.finished {
                        assert_eq!(splitter.piece_end(), piece_end);
                    }
                }
                assert!(found.len() > 3);
                let is_whole = |piece: &String| piece.len().is_multiple_of(unit.trim().len());
                match unit.contains(' ') {
                    true => assert_eq!(found.join(" "), text.trim()),
                    false => assert!(found.iter().all(is_whole) && found.concat() == text),
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn sentences_match_their_definition(text in numbers_and_stops(), file in 0..TOKENIZERS.len()) {
            let tokenizer = tokenizer(TOKENIZERS[file]);
            let ends = tokenizer.encode(".!...?").unwrap()[1..].to_vec();
            let stream = TokenStream::new(tokenizer.clone(), text.clone());
            let mut splitter = Splitter::new(stream, sentences_at(ends, usize::MAX));
            let mut found = Vec::new();
            while let Some(ids) = splitter.next(&tokenizer).unwrap() {
                found.push(tokenizer.decode(ids).unwrap());
            }
            prop_assert_eq!(found, sentences_by_definition(&tokenizer, &text));
        }
    }

    #[test]
    fn splits_long_text_like_short_text_and_retains_few_tokens() {
        let tokenizer = tokenizer(TOKENIZERS[0]);
        let sentence = "It costs 3.14 dollars, or 2.50 at night! ";
        let stop = *tokenizer.encode("!").unwrap().last().unwrap();
        let point = *tokenizer.encode(".").unwrap().last().unwrap();
        let stream = TokenStream::new(tokenizer.clone(), sentence.repeat(1000));
        let mut splitter = Splitter::new(stream, sentences_at(vec![stop, point], usize::MAX));
        let mut seen = 0;
        let mut second = None;
        while let Some(piece) = splitter.next(&tokenizer).unwrap().map(<[u32]>::to_vec) {
            seen += 1;
            if (2..1000).contains(&seen) {
                assert_eq!(second.get_or_insert_with(|| piece.clone()), &piece);
            }
            let (longest, retained) = (second.as_ref().map_or(0, Vec::len), splitter.tokens.len());
            assert!(
                retained < MAX_TOKENS_BEHIND + 20 * (longest + WINDOW_TOKENS),
                "{retained} tokens at piece {seen}"
            );
        }
        assert_eq!(seen, 1000);
    }
}
