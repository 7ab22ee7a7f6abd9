//! Normalizes a text on demand, before it is split into pieces.

use super::charsmap::CharsMap;
use super::trie::Trie;
use super::{SPACE, WORD_BYTES, char_length, proto};

/// Longest sequence of bytes that a rule or a user-defined piece can match.
pub(super) const MAX_RULE_BYTES: usize = 1 << 10;

/// Replaces characters by the model's map, and normalizes and marks spaces.
#[derive(Debug)]
pub(super) struct Normalizer {
    charsmap: CharsMap,
    /// Pieces that are never changed.
    user_defined: Trie,
    add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    /// The replacement of each space.
    space: &'static [u8],
}

/// The state of normalizing a text.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The next byte of the text.
    pub(super) position: usize,
    has_begun: bool,
    after_space: bool,
    /// Normalized bytes that are not split into pieces yet.
    pub(super) pending: Vec<u8>,
}

/// The text to normalize.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) text: &'a [u8],
    /// Whether the text ends here.
    pub(super) is_complete: bool,
    /// Whether words are normalized one by one.
    pub(super) by_word: bool,
}

impl Input<'_> {
    /// Whether a rule that applies at `position` may need more of the text.
    fn is_short_at(self, position: usize) -> bool {
        !self.is_complete && position + MAX_RULE_BYTES > self.text.len()
    }
}

impl Normalizer {
    pub(super) fn new(spec: proto::Normalizer, user_defined: Trie) -> Result<Self, String> {
        Ok(Self {
            charsmap: CharsMap::new(&spec.precompiled_charsmap.unwrap_or_default())?,
            user_defined,
            add_dummy_prefix: spec.add_dummy_prefix.unwrap_or(true),
            remove_extra_whitespaces: spec.remove_extra_whitespaces.unwrap_or(true),
            space: if spec.escape_whitespaces.unwrap_or(true) {
                SPACE.as_bytes()
            } else {
                b" "
            },
        })
    }

    /// Whether decoding drops leading space marks.
    pub(super) fn drops_leading_space(&self) -> bool {
        self.add_dummy_prefix || self.remove_extra_whitespaces
    }

    /// Normalizes up to the end of the next word, or all of the text when not `by_word`. Returns the number
    /// of bytes at the start of `pending` that are final, and whether there is more. A word of more than
    /// [`WORD_BYTES`] is returned in parts; none is final yet if the text continues in the middle of a word.
    ///
    /// A word is a run of space marks and the text up to the next mark. The run belongs to the word,
    /// because marks at the end of a text are removed.
    pub(super) fn advance(&self, input: Input<'_>, progress: &mut Progress) -> (usize, bool) {
        if !progress.has_begun && !self.begin(input, progress) {
            return (0, true);
        }
        let mut scanned = 0;
        loop {
            if input.by_word
                && let Some(end) = next_word_start(&progress.pending, &mut scanned)
            {
                return (end, true);
            }
            if progress.pending.len() > WORD_BYTES {
                return (self.part_end(&progress.pending, input.by_word), true);
            }
            if input.is_short_at(progress.position) {
                return (0, true);
            }
            if progress.position >= input.text.len() {
                break;
            }
            self.step(input.text, progress);
        }
        let pending = &mut progress.pending;
        if self.remove_extra_whitespaces {
            while pending.ends_with(self.space) {
                pending.truncate(pending.len() - self.space.len());
            }
        }
        (pending.len(), false)
    }

    /// Returns where to cut a word, or a text, that is too long: before its last space if it has any, or
    /// else between two characters.
    fn part_end(&self, pending: &[u8], by_word: bool) -> usize {
        let is_mark = |&end: &usize| pending[end..].starts_with(self.space);
        let ends = (1..=WORD_BYTES).rev();
        let mark = ends.clone().find(is_mark).filter(|_| !by_word);
        let is_start = |&end: &usize| pending[end] & 0xC0 != 0x80;
        mark.or_else(|| ends.clone().find(is_start))
            .unwrap_or(WORD_BYTES)
    }

    /// Skips spaces at the start of the text and inserts the dummy prefix before the rest. Returns `false`
    /// if more of the text is needed.
    fn begin(&self, input: Input<'_>, progress: &mut Progress) -> bool {
        if self.remove_extra_whitespaces {
            while !input.is_short_at(progress.position)
                && let Some((b" ", consumed)) = self.rewrite(&input.text[progress.position..])
            {
                progress.position += consumed;
            }
            if input.is_short_at(progress.position) {
                return false;
            }
        }
        progress.has_begun = true;
        if self.add_dummy_prefix && progress.position < input.text.len() {
            progress.pending.extend_from_slice(self.space);
        }
        progress.after_space = self.remove_extra_whitespaces;
        true
    }

    /// Normalizes the next sequence of characters that one rule applies to.
    fn step(&self, text: &[u8], progress: &mut Progress) {
        let Some((mut rewritten, consumed)) = self.rewrite(&text[progress.position..]) else {
            return;
        };
        progress.position += consumed;
        while progress.after_space && rewritten.starts_with(b" ") {
            rewritten = &rewritten[1..];
        }
        if let Some(last) = rewritten.last() {
            for &byte in rewritten {
                match byte {
                    b' ' => progress.pending.extend_from_slice(self.space),
                    _ => progress.pending.push(byte),
                }
            }
            progress.after_space = self.remove_extra_whitespaces && *last == b' ';
        }
    }

    /// Returns the replacement of the start of `text`, and the number of bytes replaced.
    fn rewrite<'a>(&'a self, text: &'a [u8]) -> Option<(&'a [u8], usize)> {
        let first = *text.first()?;
        let text = &text[..text.len().min(MAX_RULE_BYTES)];
        if let Some((length, _)) = self.user_defined.prefixes(text).last() {
            return Some((&text[..length], length));
        }
        Some(self.charsmap.longest(text).unwrap_or_else(|| {
            let length = char_length(first).min(text.len());
            (&text[..length], length)
        }))
    }
}

/// Returns the start of the second word of `pending`: a space mark that follows another character.
/// Searches from byte `scanned`, which is set to the start of the next search.
fn next_word_start(pending: &[u8], scanned: &mut usize) -> Option<usize> {
    let mark = SPACE.as_bytes();
    while let Some(rest) = pending
        .get(*scanned..)
        .filter(|rest| rest.len() >= mark.len())
    {
        let here = *scanned;
        if rest.starts_with(mark) {
            if here > 0 && !pending[..here].ends_with(mark) {
                return Some(here);
            }
            *scanned += mark.len();
        } else {
            *scanned += char_length(pending[here]);
        }
    }
    None
}
