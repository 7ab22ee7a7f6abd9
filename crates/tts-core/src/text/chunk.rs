//! Cutting a text of any length into chunks that a model speaks in one go.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::text::prepare::{TextOptions, prepare};
use crate::text::segment::Segments;
use crate::text::tokenizer::{TokenStream, Tokenizer};
use crate::text::unicode::strip;

/// The ids of this text but its first are the tokens that end a sentence; the reference's choice.
const SENTENCE_ENDS: &str = ".!...?";
/// The ids of this text but its first are the tokens at which too long a sentence is cut again.
const CLAUSE_ENDS: &str = ",;:";
/// How many characters of a chunk a message quotes.
const QUOTED_CHARS: usize = 50;

/// A part of a text, to be prepared and spoken on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextChunk {
    /// The text, to be passed through [`prepare`] before it is encoded.
    pub text: String,
    /// The number of tokens of `text` as it stands. More than was asked for only where there was
    /// nowhere to cut.
    pub token_count: usize,
}

/// The chunks of one text, made by [`chunks`].
///
/// Each is computed when asked for, from no more of the text than it needs. After an error there
/// are no more.
#[derive(Debug)]
pub struct Chunks {
    tokenizer: Arc<Tokenizer>,
    max_tokens: usize,
    clause_ends: Vec<u32>,
    sentences: Segments,
    /// Cut and not yet put into a chunk.
    waiting: VecDeque<Segment>,
    /// The chunk being put together.
    current: Segment,
    has_spoken: bool,
    is_done: bool,
}

/// A part of a text that is not cut further.
#[derive(Debug, Default)]
struct Segment {
    text: String,
    /// The number of tokens where it was cut out.
    token_count: usize,
    /// The number of tokens of the text by itself, where that is already known.
    own_token_count: Option<usize>,
}

/// Cuts `text` into chunks of at most `max_tokens` tokens (the reference's default is 50), as the
/// reference does: at the ends of sentences, then, in sentences that are too long, behind commas,
/// semicolons and colons; neighbours that fit together are joined. A stretch without any of these
/// that is too long stays whole, with a warning.
///
/// # Errors
/// [`Error::EmptyText`] when there is nothing to say, from here or, where only the tokenizer can
/// tell, as the only item; and what [`Tokenizer::encode`] and [`Tokenizer::decode`] refuse.
///
/// ```no_run
/// # use std::{path::Path, sync::Arc};
/// use std::num::NonZeroUsize;
/// use tts_core::text::{TextOptions, Tokenizer, TokenizerFormat, chunks};
///
/// # let (path, bytes) = (Path::new("tokenizer.model"), &[]);
/// let tokenizer =
///     Arc::new(Tokenizer::from_bytes(TokenizerFormat::SentencePiece, bytes, path)?);
/// let max_tokens = NonZeroUsize::new(12).unwrap();
/// for chunk in chunks(tokenizer, "One. Two, three.", max_tokens, &TextOptions::default())? {
///     println!("{}", chunk?.text);
/// }
/// # Ok::<(), tts_core::error::Error>(())
/// ```
pub fn chunks(
    tokenizer: Arc<Tokenizer>,
    text: &str,
    max_tokens: NonZeroUsize,
    options: &TextOptions,
) -> Result<Chunks> {
    let text = strip(&prepare(text, options)?.text).to_owned();
    let sentence_ends = tokens_after_first(&tokenizer, SENTENCE_ENDS)?;
    let clause_ends = tokens_after_first(&tokenizer, CLAUSE_ENDS)?;
    let stream = TokenStream::new(Arc::clone(&tokenizer), text);
    Ok(Chunks {
        tokenizer,
        max_tokens: max_tokens.get(),
        clause_ends,
        sentences: Segments::new(stream, sentence_ends, true),
        waiting: VecDeque::new(),
        current: Segment::default(),
        has_spoken: false,
        is_done: false,
    })
}

/// The ids of `text` but the first, which is or begins with the mark of a space.
fn tokens_after_first(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let mut ids = tokenizer.encode(text)?;
    ids.drain(..ids.len().min(1));
    Ok(ids)
}

impl Segment {
    fn decode(ids: &[u32], tokenizer: &Tokenizer) -> Result<Self> {
        Ok(Self {
            text: tokenizer.decode(ids)?,
            token_count: ids.len(),
            own_token_count: None,
        })
    }
}

impl Chunks {
    /// The next segment of the text: a sentence, or a clause of one that is too long.
    fn next_segment(&mut self) -> Result<Option<Segment>> {
        if let Some(segment) = self.waiting.pop_front() {
            return Ok(Some(segment));
        }
        let Some(ids) = self.sentences.next(&self.tokenizer)? else {
            return Ok(None);
        };
        let mut sentence = Segment::decode(ids, &self.tokenizer)?;
        if sentence.token_count <= self.max_tokens {
            return Ok(Some(sentence));
        }

        let stream = TokenStream::new(
            Arc::clone(&self.tokenizer),
            strip(&sentence.text).to_owned(),
        );
        let mut clauses = Segments::new(stream, self.clause_ends.clone(), false);
        while let Some(ids) = clauses.next(&self.tokenizer)? {
            self.waiting
                .push_back(Segment::decode(ids, &self.tokenizer)?);
        }
        if self.waiting.len() > 1 {
            return Ok(self.waiting.pop_front());
        }
        // Nowhere to cut: the sentence as it was, with the count it had in the whole text.
        sentence.own_token_count = self.waiting.pop_front().map(|clause| clause.token_count);
        Ok(Some(sentence))
    }

    /// The next segments that fit together, joined; the text may turn out blank.
    fn next_joined(&mut self) -> Result<Option<Segment>> {
        while let Some(segment) = self.next_segment()? {
            let token_count = self.current.token_count.saturating_add(segment.token_count);
            if self.current.text.is_empty() {
                self.current = segment;
            } else if token_count > self.max_tokens {
                return Ok(Some(std::mem::replace(&mut self.current, segment)));
            } else {
                self.current.text.push(' ');
                self.current.text.push_str(&segment.text);
                self.current.token_count = token_count;
                self.current.own_token_count = None;
            }
        }
        let last = std::mem::take(&mut self.current);
        Ok((!last.text.is_empty()).then_some(last))
    }

    fn next_chunk(&mut self) -> Result<Option<TextChunk>> {
        while let Some(joined) = self.next_joined()? {
            let text = strip(&joined.text);
            // The reference fails when it comes to speak a blank chunk; there is nothing to lose.
            if text.is_empty() {
                continue;
            }
            let token_count = match joined.own_token_count {
                Some(count) => count,
                None => self.tokenizer.encode(text)?.len(),
            };
            if token_count > self.max_tokens {
                let quoted: String = text.chars().take(QUOTED_CHARS).collect();
                tracing::warn!(
                    token_count,
                    max_tokens = self.max_tokens,
                    "a stretch of text has nowhere to be cut and is longer than the model speaks \
                     well, so words may be skipped: {quoted:?}"
                );
            }
            self.has_spoken = true;
            return Ok(Some(TextChunk {
                text: text.to_owned(),
                token_count,
            }));
        }
        if self.has_spoken {
            Ok(None)
        } else {
            Err(Error::EmptyText)
        }
    }
}

impl Iterator for Chunks {
    type Item = Result<TextChunk>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let item = self.next_chunk().transpose();
        self.is_done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl std::iter::FusedIterator for Chunks {}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::text::tokenizer::{TokenizerFormat, work};

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

    fn chunks_of_50(tokenizer: &Arc<Tokenizer>, text: &str) -> Chunks {
        let max_tokens = NonZeroUsize::new(50).unwrap();
        chunks(
            Arc::clone(tokenizer),
            text,
            max_tokens,
            &TextOptions::default(),
        )
        .unwrap()
    }

    #[test]
    fn the_first_chunk_comes_before_the_rest_is_tokenized() {
        let text = "It costs 3.14 dollars, or 2.50 at night! ".repeat(1000);
        for tokenizer in tokenizers() {
            let mut chunks = chunks_of_50(&tokenizer, &text);
            work::take();
            chunks.next().unwrap().unwrap();
            let for_the_first = work::take();
            assert!((1..3000).contains(&for_the_first), "{for_the_first}");
            assert!(chunks.all(|chunk| chunk.is_ok()));
            assert!(work::take() > 50_000);
        }
    }

    #[test]
    fn work_grows_with_the_length_of_the_text_not_with_its_square() {
        let work = |tokenizer: &Arc<Tokenizer>, unit: &str, bytes: usize| {
            let text = unit.repeat(bytes / unit.len());
            work::take();
            assert!(chunks_of_50(tokenizer, &text).all(|chunk| chunk.is_ok()));
            work::take()
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
                // Eight times the text.
                assert!(long <= 9 * short, "{unit:?}: {short} to {long} tokens");
            }
        }
    }
}
