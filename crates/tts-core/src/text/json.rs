//! Hugging Face `tokenizer.json` files, through the library that defines them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tokenizers::PreTokenizerWrapper;

use crate::text::sentencepiece::CharsMap;

/// How many bytes to hand to the library at once when words can be encoded apart: enough to make
/// its cost per call small, few enough that the first chunk of a long text comes at once.
const STRETCH_BYTES: usize = 512;

/// A tokenizer read from a `tokenizer.json`.
#[derive(Debug)]
pub(super) struct JsonTokenizer {
    inner: tokenizers::Tokenizer,
    vocab_size: usize,
    /// The character that stands for a space, when a text may be cut before it (or before a space)
    /// and its parts encoded apart.
    word_start: Option<char>,
}

impl JsonTokenizer {
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let not_a_tokenizer = |error| {
            format!("it is not a `tokenizer.json` of the Hugging Face tokenizers library ({error})")
        };
        // The library panics on malformed JSON, so it is only given what has been parsed.
        let file: Value = serde_json::from_slice(bytes).map_err(not_a_tokenizer)?;
        if let Some(normalizer) = file.get("normalizer") {
            check_charsmaps(normalizer)?;
        }
        let inner: tokenizers::Tokenizer = serde_json::from_value(file).map_err(not_a_tokenizer)?;
        if inner.get_padding().is_some() || inner.get_truncation().is_some() {
            return Err(
                "it sets `padding` or `truncation`, which would add to or cut what is spoken; set \
                 both to null"
                    .to_owned(),
            );
        }
        let vocab_size = inner.get_vocab_size(true);
        if vocab_size == 0 {
            return Err("its vocabulary is empty; at least one token is needed".to_owned());
        }
        let word_start = word_start(&inner);
        Ok(Self {
            inner,
            vocab_size,
            word_start,
        })
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Appends the ids of the next stretch of `text`, which begins at byte `offset`, and moves
    /// `offset` past it; `false` at the end.
    pub(super) fn advance(
        &self,
        text: &str,
        offset: &mut usize,
        ids: &mut Vec<u32>,
    ) -> Result<bool, String> {
        if *offset > 0 && *offset >= text.len() {
            return Ok(false);
        }
        let end = self.stretch_end(text, *offset);
        let encoding = self
            .inner
            .encode_fast(&text[*offset..end], true)
            .map_err(|error| error.to_string())?;
        ids.extend_from_slice(encoding.get_ids());
        *offset = end;
        Ok(end < text.len())
    }

    /// Where the stretch that begins at byte `start` ends: before the start of a word, or with the
    /// text.
    fn stretch_end(&self, text: &str, start: usize) -> usize {
        let Some(word_start) = self.word_start else {
            return text.len();
        };
        let from = text.len().min(start + STRETCH_BYTES);
        let from = (from..=text.len())
            .find(|&byte| text.is_char_boundary(byte))
            .unwrap_or(text.len());
        text[from..]
            .find([' ', word_start])
            .map_or(text.len(), |found| from + found)
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.inner
            .decode(ids, true)
            .map_err(|error| error.to_string())
    }
}

/// Checks the SentencePiece maps in a normalizer or a sequence of them: on a damaged one the library
/// panics, or reserves as much memory as the map claims to have.
fn check_charsmaps(normalizer: &Value) -> Result<(), String> {
    match normalizer {
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            if key != "precompiled_charsmap" {
                return check_charsmaps(value);
            }
            let text = value
                .as_str()
                .ok_or("its `precompiled_charsmap` is not a string in base64")?;
            let blob = BASE64.decode(text).map_err(|error| {
                format!("its `precompiled_charsmap` is not in base64 ({error}); fetch it again")
            })?;
            CharsMap::new(&blob)?.check()
        }),
        Value::Array(items) => items.iter().try_for_each(check_charsmaps),
        _ => Ok(()),
    }
}

/// The character that begins each word, when the tokenizer does nothing but split at it: no step
/// before or after looks across words, so the words' ids are the text's ids.
fn word_start(inner: &tokenizers::Tokenizer) -> Option<char> {
    let plain = inner.get_normalizer().is_none()
        && inner.get_post_processor().is_none()
        && inner.get_added_tokens_decoder().is_empty();
    match inner.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::Metaspace(metaspace)) if plain && metaspace.split => {
            Some(metaspace.get_replacement())
        }
        _ => None,
    }
}
