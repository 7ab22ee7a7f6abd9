//! SentencePiece `.model` files of the unigram kind.
//!
//! The `tokenizers` library gives different results: it finds reserved pieces such as `<pad>` in a text,
//! sums scores in another precision (which decides between nearly equal segmentations), normalizes by
//! grapheme, and joins invalid bytes differently. The method is the Viterbi search of Kudo, "Subword
//! Regularization" (2018), in the arithmetic of the SentencePiece library.

mod charsmap;
mod decode;
mod load;
mod normalizer;
mod proto;
mod trie;

use std::collections::VecDeque;

pub(super) use charsmap::CharsMap;
use normalizer::{MAX_RULE_BYTES, Normalizer};
use trie::Trie;

/// The character that represents a space in pieces, U+2581.
const SPACE: &str = "\u{2581}";

/// The score of an unknown character, relative to the worst piece; from the library
/// (`kUnkPenalty`).
const UNKNOWN_PENALTY: f32 = 10.0;

/// The score of a user-defined piece for each of its bytes but one, independent of the file. It exceeds
/// the scores of other pieces, which are logarithms of probabilities. Measured with version 0.2.3 of the
/// library, which the reference uses.
const USER_DEFINED_SCORE: f32 = 0.1;

/// Normalized bytes of a word that are segmented together. A longer word is segmented in parts of this
/// size, so that memory does not depend on the text; the library has no such limit.
const WORD_BYTES: usize = 4 << 10;

/// Bytes of a run of unknown characters that are collected to report them.
const UNKNOWN_RUN_BYTES: usize = 64;

/// A unigram vocabulary with its normalizer.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pieces: Vec<Piece>,
    /// The pieces that can occur in a text.
    trie: Trie,
    normalizer: Normalizer,
    unknown_id: u32,
    /// The score of an unknown character.
    unknown_score: f32,
    /// The text of the unknown id.
    unknown_surface: String,
    /// The ids of the 256 byte pieces, if unknown characters are encoded as bytes.
    byte_ids: Option<Box<[u32; 256]>>,
    /// Whether no piece extends from one word into the next.
    words_are_independent: bool,
}

#[derive(Debug)]
struct Piece {
    text: String,
    score: f32,
    kind: PieceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte(u8),
}

/// The state of encoding a text.
#[derive(Debug, Default)]
pub(super) struct Progress {
    normalization: normalizer::Progress,
    /// The best score so far, carried from word to word. Scores are summed in single precision, so the
    /// rounding, and thus the choice between nearly equal segmentations, depends on all previous words.
    score: f32,
    /// Whether the last id was the unknown id: a run of unknown characters gets one.
    after_unknown: bool,
    /// Buffer of the search, reused between words.
    nodes: Vec<Node>,
    /// Runs of normalized characters without a piece, as UTF-8.
    unknown_runs: VecDeque<Vec<u8>>,
    /// Whether such runs are also collected if they are encoded as bytes.
    collects_fallback: bool,
}

/// The best path to one byte position.
#[derive(Debug, Clone, Copy)]
struct Node {
    score: f32,
    /// The length in bytes of the last piece on the path; 0 while the position is not reached.
    length: usize,
    id: u32,
}

impl SentencePiece {
    /// An upper bound of the bytes that encoding two texts in turns takes beside text and ids: the nodes
    /// of a word and its bytes, in vectors that grow by doubling.
    pub(super) const SCRATCH_BYTES: usize =
        2 * 2 * (size_of::<Node>() + 1) * (WORD_BYTES + MAX_RULE_BYTES);

    pub(super) fn longest_piece_bytes(&self) -> usize {
        let lengths = self.pieces.iter().map(|piece| piece.text.len());
        lengths.max().unwrap_or_default()
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// Whether `ids` contain neither the unknown piece nor a byte piece.
    pub(super) fn expresses_all(&self, ids: &[u32]) -> bool {
        ids.iter().all(|&id| {
            let kind = self.pieces[id as usize].kind;
            !matches!(kind, PieceKind::Unknown | PieceKind::Byte(_))
        })
    }

    /// Returns the normalized characters of `text` that have no piece, in order.
    pub(super) fn inexpressible(&self, text: &str) -> String {
        let mut progress = Progress {
            collects_fallback: true,
            ..Progress::default()
        };
        let mut ids = Vec::new();
        while self.advance(text, true, &mut progress, &mut ids) {}
        progress.take_unknown(usize::MAX)
    }

    /// Whether the piece begins with a space.
    pub(super) fn begins_word(&self, id: u32) -> bool {
        self.pieces[id as usize].text.starts_with(SPACE)
    }

    /// Returns how many runs of characters without a piece became the unknown piece in a decoded text. With
    /// byte fallback there are none.
    pub(super) fn count_unknown(&self, decoded: &str) -> usize {
        match self.counts_unknown() {
            true => decoded.matches(self.unknown_surface.trim()).count(),
            false => 0,
        }
    }

    /// Whether the unknown piece shows in a decoded text.
    fn counts_unknown(&self) -> bool {
        self.byte_ids.is_none() && !self.unknown_surface.trim().is_empty()
    }

    /// Appends the ids of the next word of `text`, or of the whole text if words are not independent, but
    /// of about 4 KiB at most; returns `false` at the end. Appends none if a text that is not complete
    /// ends within a word.
    pub(super) fn advance(
        &self,
        text: &str,
        is_complete: bool,
        progress: &mut Progress,
        ids: &mut Vec<u32>,
    ) -> bool {
        let normalization = &mut progress.normalization;
        let input = normalizer::Input {
            text: text.as_bytes(),
            is_complete,
            by_word: self.words_are_independent,
        };
        let (length, more) = self.normalizer.advance(input, normalization);
        let mut word = std::mem::take(&mut normalization.pending);
        self.segment(&word[..length], progress, ids);
        word.drain(..length);
        progress.normalization.pending = word;
        more
    }

    /// Appends the ids of the best segmentation of `word`, which is normalized.
    fn segment(&self, word: &[u8], progress: &mut Progress, ids: &mut Vec<u32>) {
        let nodes = &mut progress.nodes;
        nodes.clear();
        nodes.resize(
            word.len() + 1,
            Node {
                score: 0.0,
                length: 0,
                id: 0,
            },
        );
        nodes[0].score = progress.score;

        let mut start = 0;
        while start < word.len() {
            let char_length = char_length(word[start]).min(word.len() - start);
            let score_here = nodes[start].score;
            let mut is_known = false;
            for (length, id) in self.trie.prefixes(&word[start..]) {
                let piece = &self.pieces[id as usize];
                let score = match piece.kind {
                    PieceKind::Unused => continue,
                    PieceKind::UserDefined => {
                        length as f32 * USER_DEFINED_SCORE - USER_DEFINED_SCORE
                    }
                    _ => piece.score,
                };
                nodes[start + length].offer(score + score_here, length, id);
                is_known |= length == char_length;
            }
            if !is_known {
                let score = self.unknown_score + score_here;
                nodes[start + char_length].offer(score, char_length, self.unknown_id);
            }
            start += char_length;
        }
        progress.score = nodes[word.len()].score;

        // Walk back along the best path, then emit it forwards.
        if self.counts_unknown() || progress.collects_fallback {
            progress.collect_unknown(word, self.unknown_id);
        }
        let nodes = &progress.nodes;
        let first = ids.len();
        let mut end = word.len();
        while end > 0 {
            let Node { length, id, .. } = nodes[end];
            let start = end - length;
            match &self.byte_ids {
                Some(byte_ids) if id == self.unknown_id => {
                    ids.extend(
                        word[start..end]
                            .iter()
                            .rev()
                            .map(|&b| byte_ids[usize::from(b)]),
                    );
                }
                _ if id == self.unknown_id && ids[first..].last() == Some(&id) => {}
                _ => ids.push(id),
            }
            end = start;
        }
        ids[first..].reverse();
        if self.byte_ids.is_none() && !word.is_empty() {
            if progress.after_unknown && ids.get(first) == Some(&self.unknown_id) {
                ids.remove(first);
            }
            progress.after_unknown = ids.last() == Some(&self.unknown_id);
        }
    }
}

impl Progress {
    /// Appends the runs of unknown characters on the best path through `word`. Neighbours form one run, also
    /// across words.
    fn collect_unknown(&mut self, word: &[u8], unknown_id: u32) {
        let mut unknown = Vec::new();
        let mut end = word.len();
        while end > 0 {
            let Node { length, id, .. } = self.nodes[end];
            if id == unknown_id {
                unknown.push(end - length..end);
            }
            end -= length;
        }
        let mut run_end = self.after_unknown.then_some(0);
        for range in unknown.into_iter().rev() {
            match self.unknown_runs.back_mut() {
                Some(run) if run_end == Some(range.start) => {
                    if run.len() + range.len() <= UNKNOWN_RUN_BYTES {
                        run.extend_from_slice(&word[range.clone()]);
                    }
                }
                _ => self.unknown_runs.push_back(word[range.clone()].to_vec()),
            }
            run_end = Some(range.end);
        }
    }

    /// Returns the bytes of the text that were read.
    pub(super) fn position(&self) -> usize {
        self.normalization.position
    }

    /// Continues in a text without the first `bytes` bytes, which were read.
    pub(super) fn rebase(&mut self, bytes: usize) {
        let position = &mut self.normalization.position;
        *position = position.saturating_sub(bytes);
    }

    /// Removes the first `count` runs of unknown characters and returns them.
    pub(super) fn take_unknown(&mut self, count: usize) -> String {
        let count = count.min(self.unknown_runs.len());
        let bytes: Vec<u8> = self.unknown_runs.drain(..count).flatten().collect();
        String::from_utf8_lossy(&bytes).replace(SPACE, " ")
    }
}

impl Node {
    /// Accepts a path if it is the first or better; among equal ones, the first is retained.
    fn offer(&mut self, score: f32, length: usize, id: u32) {
        if self.length == 0 || score > self.score {
            *self = Node { score, length, id };
        }
    }
}

/// Returns the length in bytes of the UTF-8 character that begins with `first`. A continuation byte counts
/// as one character.
fn char_length(first: u8) -> usize {
    match first {
        0x00..=0xBF => 1,
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
    }
}
