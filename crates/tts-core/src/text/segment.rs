//! Cuts a text of any length into the texts of its segments.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::text::error::{Result, TextError};
use crate::text::normalize::{TextOptions, normalize};
use crate::text::split::Splitter;
use crate::text::tokenizer::{TokenStream, Tokenizer};
use crate::text::unicode::strip;

/// Sentences end at the tokens of this text, except its first token; as in the reference.
const SENTENCE_ENDS: &str = ".!...?";
/// Sentences that are too long are cut at the tokens of this text, except its first token.
const CLAUSE_ENDS: &str = ",;:";
/// Characters of a segment that a message quotes.
const QUOTED_CHARS: usize = 50;

/// The text of a segment, before its own normalization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentText {
    /// The text, to be passed through [`normalize`] before it is encoded.
    pub text: String,
    /// Tokens of `text` without further normalization. At most the maximum, except where the text
    /// has no boundary.
    pub token_count: usize,
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
    /// Pieces that were cut and are not part of a segment yet.
    pending: VecDeque<Piece>,
    /// The segment that is being assembled.
    current: Piece,
    has_yielded: bool,
    is_done: bool,
}

/// A stretch of text that is not cut further.
#[derive(Debug, Default)]
struct Piece {
    text: String,
    /// Tokens of the piece within the whole text.
    token_count: usize,
    /// Tokens of the stripped piece on its own, if they are known already.
    own_tokens: Option<Vec<u32>>,
}

/// Cuts `text` into segments of at most `max_tokens` tokens, as the reference does (its default is
/// 50).
///
/// The text is cut at the ends of sentences. Sentences that are too long are cut after commas,
/// semicolons and colons. Neighbours that fit together are joined. A stretch without any such
/// boundary stays whole even if it is too long, with a warning.
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
    let text = strip(&normalize(text, options)?.text).into();
    SegmentTexts::new(tokenizer, text, max_tokens)
}

/// The tokens of `text` without the first, which is or begins with the mark of a space.
fn tokens_after_first(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let mut ids = tokenizer.encode(text)?;
    ids.drain(..ids.len().min(1));
    Ok(ids)
}

impl Piece {
    fn decode(ids: &[u32], tokenizer: &Tokenizer) -> Result<Self> {
        Ok(Self {
            text: tokenizer.decode(ids)?,
            token_count: ids.len(),
            own_tokens: None,
        })
    }
}

impl SegmentTexts {
    /// Cuts a normalized text without surrounding whitespace.
    pub(super) fn new(
        tokenizer: Arc<Tokenizer>,
        text: Arc<str>,
        max_tokens: NonZeroUsize,
    ) -> Result<Self> {
        let sentence_ends = tokens_after_first(&tokenizer, SENTENCE_ENDS)?;
        let clause_ends = tokens_after_first(&tokenizer, CLAUSE_ENDS)?;
        let stream = TokenStream::new(Arc::clone(&tokenizer), text);
        Ok(Self {
            tokenizer,
            max_tokens: max_tokens.get(),
            clause_ends,
            sentences: Splitter::new(stream, sentence_ends, true),
            pending: VecDeque::new(),
            current: Piece::default(),
            has_yielded: false,
            is_done: false,
        })
    }

    /// Returns the next piece of the text: a sentence, or a clause of one that is too long.
    fn next_piece(&mut self) -> Result<Option<Piece>> {
        if let Some(piece) = self.pending.pop_front() {
            return Ok(Some(piece));
        }
        let Some(ids) = self.sentences.next(&self.tokenizer)? else {
            return Ok(None);
        };
        let mut sentence = Piece::decode(ids, &self.tokenizer)?;
        if sentence.token_count <= self.max_tokens {
            return Ok(Some(sentence));
        }

        let stream = TokenStream::new(Arc::clone(&self.tokenizer), strip(&sentence.text).into());
        let mut clauses = Splitter::new(stream, self.clause_ends.clone(), false);
        let mut whole = None;
        while let Some(ids) = clauses.next(&self.tokenizer)? {
            whole = self.pending.is_empty().then(|| ids.to_vec());
            self.pending.push_back(Piece::decode(ids, &self.tokenizer)?);
        }
        if self.pending.len() > 1 {
            return Ok(self.pending.pop_front());
        }
        // The sentence has no boundary: it is used as it was, with its count in the whole text.
        self.pending.clear();
        sentence.own_tokens = whole;
        Ok(Some(sentence))
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

    fn next_segment(&mut self) -> Result<Option<SegmentText>> {
        while let Some(joined) = self.next_joined()? {
            let text = strip(&joined.text);
            // The reference fails on a blank segment; skipping it loses nothing.
            if text.is_empty() {
                continue;
            }
            let tokens = match joined.own_tokens {
                Some(tokens) => tokens,
                None => self.tokenizer.encode(text)?,
            };
            let token_count = tokens.len();
            if token_count > self.max_tokens {
                let quoted: String = text.chars().take(QUOTED_CHARS).collect();
                tracing::warn!(
                    token_count,
                    max_tokens = self.max_tokens,
                    "a stretch of text without punctuation is longer than a segment should be, so words \
                     may be skipped: {quoted:?}"
                );
            }
            let unknown = self
                .sentences
                .take_unknown(self.tokenizer.count_unknown(text));
            self.has_yielded = true;
            return Ok(Some(SegmentText {
                text: text.to_owned(),
                token_count,
                tokens,
                unknown,
            }));
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
    use std::path::Path;

    use super::*;
    use crate::text::tokenizer::TokenizerFormat;

    fn tokenizers() -> [Arc<Tokenizer>; 2] {
        let files = [
            ("tokenizer.model", TokenizerFormat::SentencePiece),
            ("tokenizer.json", TokenizerFormat::Tokenizers),
        ];
        files.map(|(file, format)| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/fixtures/parity")
                .join(file);
            let bytes = std::fs::read(&path).unwrap();
            Arc::new(Tokenizer::from_bytes(format, &bytes, &path).unwrap())
        })
    }

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
