//! Normalizes a text on demand, before it is split into pieces.

use super::charsmap::CharsMap;
use super::trie::Trie;
use super::{SPACE, char_length, proto};

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
    position: usize,
    has_begun: bool,
    after_space: bool,
    /// Normalized bytes that are not split into pieces yet.
    pub(super) pending: Vec<u8>,
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

    /// Normalizes up to the end of the next word, or all of `text` when not `by_word`. Returns the number
    /// of bytes at the start of `pending` that are final, and whether there is more.
    ///
    /// A word is a run of space marks and the text up to the next mark. The run belongs to the word,
    /// because marks at the end of a text are removed.
    pub(super) fn advance(
        &self,
        text: &[u8],
        progress: &mut Progress,
        by_word: bool,
    ) -> (usize, bool) {
        if !progress.has_begun {
            self.begin(text, progress);
        }
        let mut scanned = 0;
        loop {
            if by_word {
                match next_word_start(&progress.pending, &mut scanned) {
                    Some(end) => return (end, true),
                    None if progress.position >= text.len() => break,
                    None => {}
                }
            } else if progress.position >= text.len() {
                break;
            }
            self.step(text, progress);
        }
        let pending = &mut progress.pending;
        if self.remove_extra_whitespaces {
            while pending.ends_with(self.space) {
                pending.truncate(pending.len() - self.space.len());
            }
        }
        (pending.len(), false)
    }

    /// Skips spaces at the start of the text and inserts the dummy prefix before the rest.
    fn begin(&self, text: &[u8], progress: &mut Progress) {
        progress.has_begun = true;
        if self.remove_extra_whitespaces {
            while let Some((b" ", consumed)) = self.rewrite(&text[progress.position..]) {
                progress.position += consumed;
            }
        }
        if self.add_dummy_prefix && progress.position < text.len() {
            progress.pending.extend_from_slice(self.space);
        }
        progress.after_space = self.remove_extra_whitespaces;
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
