//! Cuts a stretch of text without punctuation at spaces, or anywhere if it has none.

use crate::text::error::Result;
use crate::text::tokenizer::Tokenizer;
use crate::text::unicode::is_space;

/// Bytes for each allowed token that are tokenized first to find a cut. Ordinary text has about four
/// bytes per token, so this usually shows whether two pieces remain.
const WINDOW_BYTES_PER_TOKEN: usize = 8;

/// A stretch without a boundary that is too long for one segment.
#[derive(Debug)]
pub(super) struct Stretch {
    text: String,
    /// Start of the rest.
    at: usize,
}

impl Stretch {
    pub(super) fn new(text: String) -> Self {
        Self { text, at: 0 }
    }

    /// Returns the next piece and its tokens; `None` at the end. A piece has at most `max_tokens`
    /// tokens, unless a single character has more. The last two pieces are about equally long.
    pub(super) fn next(
        &mut self,
        tokenizer: &Tokenizer,
        max_tokens: usize,
    ) -> Result<Option<(String, Vec<u32>)>> {
        let rest = self.text[self.at..].trim_start_matches(is_space);
        if rest.is_empty() {
            return Ok(None);
        }
        let start = self.text.len() - rest.len();
        let (length, ids) = piece(rest, tokenizer, max_tokens)?;
        self.at = start + length;
        let text = rest[..length].trim_end_matches(is_space).to_owned();
        Ok(Some((text, ids)))
    }
}

/// Returns the length in bytes of the first piece of `text`, and its tokens.
fn piece(text: &str, tokenizer: &Tokenizer, max_tokens: usize) -> Result<(usize, Vec<u32>)> {
    let (window, ids) = window(text, tokenizer, max_tokens)?;
    let is_all = window.len() == text.len();
    if is_all && ids.len() <= max_tokens {
        return Ok((text.len(), ids));
    }
    let target = match is_all {
        true => ids.len().div_ceil(ids.len().div_ceil(max_tokens)),
        false => max_tokens,
    };
    let target_text = tokenizer.decode(&ids[..target])?;
    // The decoded tokens may end with a part of a character.
    let target_bytes = common_prefix(window, &target_text);

    let word_end = window[target_bytes..].find(is_space);
    let at_end = word_end.map_or(window.len(), |bytes| target_bytes + bytes);
    let at_start = window[..target_bytes].rfind(is_space);
    for end in [Some(at_end), at_start].into_iter().flatten() {
        let ids = tokenizer.encode(window[..end].trim_end_matches(is_space))?;
        if end > 0 && ids.len() <= max_tokens {
            return Ok((end, ids));
        }
    }
    // Without a space, or where a space changes how the text before it is tokenized.
    let mut end = target_bytes.max(1);
    loop {
        let (length, is_one_char) = whole_chars(window, end);
        let ids = tokenizer.encode(&window[..length])?;
        if ids.len() <= max_tokens || is_one_char {
            return Ok((length, ids));
        }
        end = (length * max_tokens / ids.len()).min(length - 1);
    }
}

/// Returns the start of `text` that has more than twice the allowed tokens, or all of it, and its tokens.
fn window<'a>(
    text: &'a str,
    tokenizer: &Tokenizer,
    max_tokens: usize,
) -> Result<(&'a str, Vec<u32>)> {
    let mut bytes = max_tokens.saturating_mul(WINDOW_BYTES_PER_TOKEN);
    loop {
        let window = &text[..whole_chars(text, bytes).0];
        let ids = tokenizer.encode(window)?;
        if window.len() == text.len() || ids.len() > max_tokens.saturating_mul(2) {
            return Ok((window, ids));
        }
        bytes = bytes.saturating_mul(2);
    }
}

/// Returns the bytes of the characters within the first `bytes` of `text`, but of one character at least,
/// and whether it is only that one.
fn whole_chars(text: &str, bytes: usize) -> (usize, bool) {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let bytes = bytes.min(text.len());
    let end = (0..=bytes).rev().find(|&end| text.is_char_boundary(end));
    let end = end.unwrap_or_default().max(first);
    (end, end == first)
}

/// Returns the number of bytes of the characters that two texts have in common at their start.
fn common_prefix(a: &str, b: &str) -> usize {
    let common = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    common.map(|(a, _)| a.len_utf8()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::tokenizers;

    fn pieces(tokenizer: &Tokenizer, text: &str, max_tokens: usize) -> Vec<String> {
        let mut stretch = Stretch::new(text.to_owned());
        let mut pieces = Vec::new();
        while let Some((piece, ids)) = stretch.next(tokenizer, max_tokens).unwrap() {
            assert_eq!(tokenizer.encode(&piece).unwrap(), ids, "{piece:?}");
            let is_one_char = piece.chars().nth(1).is_none();
            assert!(ids.len() <= max_tokens || is_one_char, "{piece:?}");
            pieces.push(piece);
        }
        pieces
    }

    #[test]
    fn cuts_at_spaces_into_pieces_of_similar_length() {
        for tokenizer in tokenizers() {
            let text = "the quick brown fox jumps over the lazy dog and runs away from it all";
            let found = pieces(&tokenizer, text, 20);
            assert!(found.len() > 2, "{found:?}");
            assert_eq!(found.join(" "), text);
            let lengths = found.iter().map(String::len);
            assert!(lengths.clone().min() > lengths.max().map(|max| max / 3));
        }
    }

    #[test]
    fn cuts_a_word_anywhere_between_characters() {
        for tokenizer in tokenizers() {
            for unit in ["abcdefg", "\u{e9}", "\u{732b}", "\u{1f600}a", "e\u{301}"] {
                let text = unit.repeat(200);
                for max_tokens in [1, 7, 50] {
                    let found = pieces(&tokenizer, &text, max_tokens);
                    assert_eq!(found.concat(), text, "{unit:?} {max_tokens}");
                }
            }
        }
    }

    #[test]
    fn text_that_fits_stays_whole() {
        for tokenizer in tokenizers() {
            assert_eq!(pieces(&tokenizer, "one two", 50), ["one two"]);
            assert!(pieces(&tokenizer, " ", 50).is_empty());
        }
    }
}
