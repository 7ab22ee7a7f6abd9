//! Cuts a text of any length into the texts of its segments.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::text::error::{Result, TextError};
use crate::text::normalize::TextOptions;
use crate::text::source::SourceText;
use crate::text::split::{PieceEnd, SplitRules, Splitter};
use crate::text::stream::TokenStream;
use crate::text::stretch::Stretch;
use crate::text::tokenizer::Tokenizer;
use crate::text::unicode::strip;

/// Sentences end at the tokens of this text, except its first token; as in the reference.
const SENTENCE_ENDS: &str = ".!...?";
/// Sentences that are too long are cut at the tokens of this text, except its first token.
const CLAUSE_ENDS: &str = ",;:";
/// Tokens of a sentence, at least, that are cut into clauses together. The clauses of a longer one are the
/// same; only a clause that is longer still is cut earlier.
const MIN_SENTENCE_TOKENS: usize = 2048;
/// Characters of a cut stretch that are quoted.
const QUOTED_CHARS: usize = 50;
/// Tokens by which a segment of joined pieces may exceed the maximum: text can have more tokens on its
/// own than in its context, by which the reference counts.
const CONTEXT_TOKENS: usize = 8;

/// The text of a segment, before its own normalization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentText {
    /// The text, to be passed through [`normalize`](super::normalize) before it is encoded.
    pub text: String,
    /// Tokens of `text` without further normalization. At most the maximum and 8, because text can
    /// have a few more tokens on its own than in its context, unless a single character has more.
    pub token_count: usize,
    /// Whether this is a piece of a stretch without punctuation that was too long for one segment.
    pub in_cut_stretch: bool,
    /// The tokens that `token_count` counts.
    pub(super) tokens: Vec<u32>,
    /// Characters of the original text that `text` lacks, because they became the unknown token.
    pub(super) unknown: String,
}

/// The segments of one text, made by [`segment_text`].
///
/// Each is computed on demand, from no more of the text than it needs. After an error the iterator
/// ends.
#[derive(Debug)]
pub struct SegmentTexts {
    tokenizer: Arc<Tokenizer>,
    max_tokens: usize,
    clause_ends: Vec<u32>,
    sentences: Splitter,
    /// The clauses of a sentence that is too long.
    clauses: Option<Splitter>,
    /// A piece that was read ahead.
    pending: Option<Piece>,
    /// How the part of a sentence before the current one ended.
    previous_end: PieceEnd,
    /// The segment that is being assembled.
    current: Piece,
    /// A stretch that is being cut.
    stretch: Option<Stretch>,
    cut_stretches: CutStretches,
    has_yielded: bool,
    is_done: bool,
}

/// The stretches without punctuation that were too long for one segment and were cut at spaces or, if
/// they had none, anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutStretches {
    /// Number of stretches.
    pub count: usize,
    /// The start of the first one; empty if there is none.
    pub first: String,
}

/// A stretch of text that is not cut further.
#[derive(Debug, Default)]
struct Piece {
    text: String,
    /// Tokens of the piece within the whole text, as the reference counts them.
    token_count: usize,
    /// Whether the piece has no boundary and more tokens than a segment may have.
    is_too_long: bool,
    /// Whether the piece continues the previous one, which was cut inside a stretch.
    is_continued: bool,
    /// Tokens of the stripped piece on its own, if they are known already.
    own_tokens: Option<Vec<u32>>,
}

/// Cuts `text` into segments of at most `max_tokens` tokens, as the reference does (its default is
/// 50).
///
/// The text is cut at the ends of sentences. Sentences that are too long are cut after commas,
/// semicolons and colons. Neighbours that fit together are joined.
///
/// The reference retains a stretch without any such boundary as one segment, however long it is. Here
/// it is cut at spaces into pieces of at most `max_tokens` tokens, and a word that is longer still is
/// cut between characters. The rest of the text is cut as if the stretch were one segment, and a stretch
/// of up to 2048 tokens (or twice `max_tokens`, if that is more) is cut as evenly as its words allow.
///
/// Whatever the text, its segments are cut within a memory of bounded size. Therefore words of more than
/// 4 KiB, which the reference tokenizes as a whole, are tokenized in parts of 4 KiB.
///
/// # Errors
///
/// [`TextError::Empty`] if the text contains nothing to speak: from this function or, if only the
/// tokenizer can detect it, as the only item. Items are also the errors of [`Tokenizer::encode`] and
/// [`Tokenizer::decode`].
///
/// ```no_run
/// # use std::{path::Path, sync::Arc};
/// use std::num::NonZeroUsize;
/// use tts_core::text::{TextOptions, Tokenizer, TokenizerFormat, segment_text};
///
/// # let (path, bytes) = (Path::new("tokenizer.model"), &[]);
/// let tokenizer =
///     Arc::new(Tokenizer::from_bytes(TokenizerFormat::SentencePiece, bytes, path)?);
/// let max_tokens = NonZeroUsize::new(12).unwrap();
/// for segment in segment_text(tokenizer, "One. Two, three.", max_tokens, &TextOptions::default())? {
///     println!("{}", segment?.text);
/// }
/// # Ok::<(), tts_core::text::TextError>(())
/// ```
pub fn segment_text(
    tokenizer: Arc<Tokenizer>,
    text: &str,
    max_tokens: NonZeroUsize,
    options: &TextOptions,
) -> Result<SegmentTexts> {
    let text = SourceText::any(text.to_owned(), options.clone())?;
    SegmentTexts::new(tokenizer, Arc::new(text), max_tokens)
}

/// The tokens of `text` without the first, which is or begins with the mark of a space.
fn tokens_after_first(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let mut ids = tokenizer.encode(text)?;
    ids.drain(..ids.len().min(1));
    Ok(ids)
}

/// Returns the maximum tokens of a sentence that is cut into clauses at once.
pub(super) fn sentence_tokens(max_tokens: usize) -> usize {
    MIN_SENTENCE_TOKENS.max(max_tokens.saturating_mul(2))
}

impl CutStretches {
    fn add(&mut self, text: &str) {
        self.count += 1;
        if self.count == 1 {
            self.first = text.chars().take(QUOTED_CHARS).collect();
        }
    }
}

impl Piece {
    fn decode(ids: &[u32], tokenizer: &Tokenizer) -> Result<Self> {
        Ok(Self {
            text: tokenizer.decode(ids)?,
            token_count: ids.len(),
            is_too_long: false,
            is_continued: false,
            own_tokens: None,
        })
    }
}

impl SegmentTexts {
    pub(super) fn new(
        tokenizer: Arc<Tokenizer>,
        text: Arc<SourceText>,
        max_tokens: NonZeroUsize,
    ) -> Result<Self> {
        let sentence_ends = tokens_after_first(&tokenizer, SENTENCE_ENDS)?;
        let clause_ends = tokens_after_first(&tokenizer, CLAUSE_ENDS)?;
        let stream = TokenStream::normalized(Arc::clone(&tokenizer), text);
        let rules = SplitRules {
            boundaries: sentence_ends,
            keep_decimals: true,
            max_tokens: sentence_tokens(max_tokens.get()),
            weak_boundaries: clause_ends.clone(),
        };
        Ok(Self {
            tokenizer,
            max_tokens: max_tokens.get(),
            clause_ends,
            sentences: Splitter::new(stream, rules),
            clauses: None,
            pending: None,
            previous_end: PieceEnd::Boundary,
            current: Piece::default(),
            stretch: None,
            cut_stretches: CutStretches::default(),
            has_yielded: false,
            is_done: false,
        })
    }

    /// Returns the stretches that were cut so far.
    pub(super) fn cut_stretches(&self) -> &CutStretches {
        &self.cut_stretches
    }

    /// Returns the next piece of the text: a sentence, or a clause of one that is too long.
    fn next_piece(&mut self) -> Result<Option<Piece>> {
        if let Some(piece) = self.pending.take() {
            return Ok(Some(piece));
        }
        if let Some(clause) = self.next_clause()? {
            return Ok(Some(clause));
        }
        let Some(ids) = self.sentences.next(&self.tokenizer)? else {
            return Ok(None);
        };
        let sentence = Piece::decode(ids, &self.tokenizer)?;
        let end = self.sentences.piece_end();
        let previous_end = std::mem::replace(&mut self.previous_end, end);
        let is_whole = end == PieceEnd::Boundary && previous_end == PieceEnd::Boundary;
        if is_whole && sentence.token_count <= self.max_tokens {
            return Ok(Some(sentence));
        }

        let text = strip(&sentence.text).to_owned();
        let rules = SplitRules {
            boundaries: self.clause_ends.clone(),
            keep_decimals: false,
            max_tokens: sentence_tokens(self.max_tokens),
            weak_boundaries: Vec::new(),
        };
        let stream = TokenStream::new(Arc::clone(&self.tokenizer), text);
        let clauses = self.clauses.insert(Splitter::new(stream, rules));
        // The first piece always exists.
        let whole = clauses.next(&self.tokenizer)?.unwrap_or_default().to_vec();
        let mut first = Piece::decode(&whole, &self.tokenizer)?;
        self.pending = self.next_clause()?;
        if self.pending.is_none() {
            // The sentence has no boundary: it is used as it was, with its count in the whole text.
            first = sentence;
            first.own_tokens = Some(whole);
        }
        first.is_too_long = first.token_count > self.max_tokens;
        first.is_continued = previous_end == PieceEnd::Cut;
        Ok(Some(first))
    }

    /// Returns the next clause of the sentence that is too long.
    fn next_clause(&mut self) -> Result<Option<Piece>> {
        let Some(clauses) = &mut self.clauses else {
            return Ok(None);
        };
        let is_continued = clauses.piece_end() == PieceEnd::Cut;
        let Some(ids) = clauses.next(&self.tokenizer)? else {
            self.clauses = None;
            return Ok(None);
        };
        let mut clause = Piece::decode(ids, &self.tokenizer)?;
        clause.is_too_long = clause.token_count > self.max_tokens;
        clause.is_continued = is_continued;
        Ok(Some(clause))
    }

    /// Returns the next pieces that fit together, joined; the text may turn out blank.
    fn next_joined(&mut self) -> Result<Option<Piece>> {
        while let Some(piece) = self.next_piece()? {
            let token_count = self.current.token_count.saturating_add(piece.token_count);
            if self.current.text.is_empty() {
                self.current = piece;
            } else if token_count > self.max_tokens {
                return Ok(Some(std::mem::replace(&mut self.current, piece)));
            } else {
                self.current.text.push(' ');
                self.current.text.push_str(&piece.text);
                self.current.token_count = token_count;
                self.current.own_tokens = None;
            }
        }
        let last = std::mem::take(&mut self.current);
        Ok((!last.text.is_empty()).then_some(last))
    }

    /// Returns the next piece of the stretch that is being cut.
    fn next_of_stretch(&mut self) -> Result<Option<SegmentText>> {
        let Some(stretch) = &mut self.stretch else {
            return Ok(None);
        };
        let piece = stretch.next(&self.tokenizer, self.max_tokens)?;
        let Some((text, tokens)) = piece else {
            self.stretch = None;
            return Ok(None);
        };
        Ok(Some(self.segment(text, tokens, true)))
    }

    fn segment(&mut self, text: String, tokens: Vec<u32>, in_cut_stretch: bool) -> SegmentText {
        self.has_yielded = true;
        SegmentText {
            token_count: tokens.len(),
            tokens,
            in_cut_stretch,
            unknown: self
                .sentences
                .take_unknown(self.tokenizer.count_unknown(&text)),
            text,
        }
    }

    fn next_segment(&mut self) -> Result<Option<SegmentText>> {
        loop {
            if let Some(segment) = self.next_of_stretch()? {
                return Ok(Some(segment));
            }
            let Some(joined) = self.next_joined()? else {
                break;
            };
            let text = strip(&joined.text);
            // The reference fails on a blank segment; skipping it loses nothing.
            if text.is_empty() {
                continue;
            }
            let tokens = match joined.own_tokens {
                Some(tokens) => tokens,
                None => self.tokenizer.encode(text)?,
            };
            let allowed = match joined.is_too_long {
                true => self.max_tokens,
                false => self.max_tokens.saturating_add(CONTEXT_TOKENS),
            };
            if tokens.len() <= allowed {
                let text = text.to_owned();
                return Ok(Some(self.segment(text, tokens, false)));
            }
            if !joined.is_continued {
                self.cut_stretches.add(text);
            }
            self.stretch = Some(Stretch::new(text.to_owned()));
        }
        if self.has_yielded {
            Ok(None)
        } else {
            Err(TextError::Empty)
        }
    }
}

impl Iterator for SegmentTexts {
    type Item = Result<SegmentText>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let item = self.next_segment().transpose();
        self.is_done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl std::iter::FusedIterator for SegmentTexts {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::tokenizers;

    fn segments_of_50(tokenizer: &Arc<Tokenizer>, text: &str) -> SegmentTexts {
        let max_tokens = NonZeroUsize::new(50).unwrap();
        segment_text(
            Arc::clone(tokenizer),
            text,
            max_tokens,
            &TextOptions::default(),
        )
        .unwrap()
    }

    #[test]
    fn yields_first_segment_before_tokenizing_the_rest() {
        let text = "It costs 3.14 dollars, or 2.50 at night! ".repeat(1000);
        for tokenizer in tokenizers() {
            let mut segments = segments_of_50(&tokenizer, &text);
            tokenizer.take_work();
            segments.next().unwrap().unwrap();
            let first = tokenizer.take_work();
            assert!((1..3000).contains(&first), "{first}");
            assert!(segments.all(|segment| segment.is_ok()));
            assert!(tokenizer.take_work() > 50_000);
        }
    }

    #[test]
    fn work_is_linear_in_the_length_of_the_text() {
        let work = |tokenizer: &Arc<Tokenizer>, unit: &str, bytes: usize| {
            let text = unit.repeat(bytes / unit.len());
            tokenizer.take_work();
            assert!(segments_of_50(tokenizer, &text).all(|segment| segment.is_ok()));
            tokenizer.take_work()
        };
        for tokenizer in tokenizers() {
            for unit in [
                "1.",
                "a. ",
                "5 ",
                "a,",
                "😀",
                "😀.",
                ".",
                "\u{200b}.",
                "   .5",
            ] {
                let short = work(&tokenizer, unit, 4 << 10);
                let long = work(&tokenizer, unit, 32 << 10);
                // The text is eight times as long.
                assert!(long <= 9 * short, "{unit:?}: {short} to {long} tokens");
            }
        }
    }
}
