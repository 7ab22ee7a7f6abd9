//! Hugging Face `tokenizer.json` files, read by the library that defines the format.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tokenizers::PreTokenizerWrapper;

use crate::text::sentencepiece::CharsMap;

/// Bytes that the library encodes per call when words are independent: enough for a small cost per call,
/// and few enough that the first segment of a long text is available early.
const STRETCH_BYTES: usize = 512;

/// Bytes that the library encodes per call at most. A longer word, or a longer text if words are not
/// independent, is encoded in parts of this size, so that memory does not depend on the text.
const MAX_STRETCH_BYTES: usize = 4 << 10;

/// A tokenizer read from a `tokenizer.json`.
#[derive(Debug)]
pub(super) struct JsonTokenizer {
    inner: tokenizers::Tokenizer,
    vocab_size: usize,
    /// The character that represents a space, if a text may be cut before it (or before a space) and
    /// the pieces encoded independently.
    word_start: Option<char>,
    longest_token_bytes: usize,
    fallback: Fallback,
}

/// The position up to which a text has been encoded.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) offset: usize,
    has_begun: bool,
}

/// How a tokenizer encodes characters that its vocabulary lacks.
#[derive(Debug, Default)]
struct Fallback {
    /// The unknown token.
    unknown_id: Option<u32>,
    /// The tokens `<0x00>` to `<0xFF>`, if characters are spelled in bytes.
    byte_ids: HashSet<u32>,
}

impl Fallback {
    fn new(inner: &tokenizers::Tokenizer, model: &Value) -> Self {
        // A Unigram model has the id, the other models have the token.
        let by_id = model["unk_id"]
            .as_u64()
            .and_then(|id| u32::try_from(id).ok());
        let by_token = || inner.token_to_id(model["unk_token"].as_str()?);
        let has_byte_fallback = model["byte_fallback"].as_bool().unwrap_or(false);
        let byte_ids = (0..=u8::MAX)
            .filter(|_| has_byte_fallback)
            .filter_map(|byte| inner.token_to_id(&format!("<0x{byte:02X}>")));
        Self {
            unknown_id: by_id.or_else(by_token),
            byte_ids: byte_ids.collect(),
        }
    }

    fn contains(&self, id: u32) -> bool {
        self.unknown_id == Some(id) || self.byte_ids.contains(&id)
    }

    /// Whether characters that the vocabulary lacks are dropped.
    fn is_absent(&self) -> bool {
        self.unknown_id.is_none() && self.byte_ids.is_empty()
    }
}

impl JsonTokenizer {
    /// An upper bound of the bytes that the library takes during one call: measured at up to 190 for each
    /// byte of its input.
    pub(super) const SCRATCH_BYTES: usize = 200 * MAX_STRETCH_BYTES;

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let not_a_tokenizer = |error| {
            format!("it is not a `tokenizer.json` of the Hugging Face tokenizers library ({error})")
        };
        // The library panics on malformed JSON, so only parsed JSON is passed to it.
        let file: Value = serde_json::from_slice(bytes).map_err(not_a_tokenizer)?;
        if let Some(normalizer) = file.get("normalizer") {
            check_charsmaps(normalizer)?;
        }
        let model = file.get("model").map_or(Value::Null, model_settings);
        let mut inner: tokenizers::Tokenizer =
            serde_json::from_value(file).map_err(not_a_tokenizer)?;
        // The library would retain up to 10,000 words.
        let mut uncached = inner.get_model().clone();
        uncached.resize_cache(0);
        inner.with_model(uncached);
        if inner.get_padding().is_some() || inner.get_truncation().is_some() {
            return Err(
                "it sets `padding` or `truncation`, which would change the spoken text; set both to \
                 null"
                    .to_owned(),
            );
        }
        let vocab_size = inner.get_vocab_size(true);
        if vocab_size == 0 {
            return Err("its vocabulary is empty; at least one token is needed".to_owned());
        }
        let word_start = word_start(&inner);
        let ids = 0..u32::try_from(vocab_size).unwrap_or(u32::MAX);
        let longest_token_bytes = ids.filter_map(|id| Some(inner.id_to_token(id)?.len()));
        let longest_token_bytes = longest_token_bytes.max().unwrap_or_default();
        Ok(Self {
            fallback: Fallback::new(&inner, &model),
            inner,
            vocab_size,
            word_start,
            longest_token_bytes,
        })
    }

    pub(super) fn longest_token_bytes(&self) -> usize {
        self.longest_token_bytes
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Appends the ids of the next stretch of `text` and advances to its end; returns `false` at the end of
    /// the text. A text that is not complete has more than [`MAX_STRETCH_BYTES`] after its offset.
    pub(super) fn advance(
        &self,
        text: &str,
        is_complete: bool,
        progress: &mut Progress,
        ids: &mut Vec<u32>,
    ) -> Result<bool, String> {
        let offset = progress.offset;
        if std::mem::replace(&mut progress.has_begun, true) && offset >= text.len() {
            return Ok(!is_complete);
        }
        let end = self.stretch_end(text, offset);
        let encoding = self
            .inner
            .encode_fast(&text[offset..end], true)
            .map_err(|error| error.to_string())?;
        ids.extend_from_slice(encoding.get_ids());
        progress.offset = end;
        Ok(end < text.len() || !is_complete)
    }

    /// Returns the end of the stretch that begins at byte `start`: the next start of a word, or the end
    /// of the text.
    fn stretch_end(&self, text: &str, start: usize) -> usize {
        let boundary = |byte: usize| {
            let boundaries = (0..=byte.min(text.len())).rev();
            boundaries
                .into_iter()
                .find(|&byte| text.is_char_boundary(byte))
                .unwrap_or_default()
        };
        let end = boundary(start + MAX_STRETCH_BYTES);
        match self.word_start {
            Some(word_start) => {
                let from = boundary(start + STRETCH_BYTES);
                let found = text[from..end].find([' ', word_start]);
                found.map_or(end, |found| from + found)
            }
            None if end == text.len() => end,
            None => match text[start..end].rfind(' ') {
                Some(found) if found > 0 => start + found,
                _ => end,
            },
        }
    }

    /// Whether the token begins with the mark of a space.
    pub(super) fn begins_word(&self, id: u32) -> bool {
        let token = self.inner.id_to_token(id);
        // The marks of SentencePiece and of byte-level tokenizers.
        let marks = ['\u{2581}', '\u{120}', ' '];
        token.is_some_and(|token| token.starts_with(marks))
    }

    /// Whether `ids` are certain to express every character of their text.
    pub(super) fn expresses_all(&self, ids: &[u32]) -> bool {
        !self.fallback.is_absent() && !ids.iter().any(|&id| self.fallback.contains(id))
    }

    /// Returns the characters of `text` that no token other than a fallback covers, in order.
    pub(super) fn inexpressible(&self, text: &str) -> Result<String, String> {
        let encoding = self
            .inner
            .encode(text, true)
            .map_err(|error| error.to_string())?;
        let mut is_covered = vec![false; text.len()];
        for (&id, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            if !self.fallback.contains(id)
                && let Some(covered) = is_covered.get_mut(start..end)
            {
                covered.fill(true);
            }
        }
        let uncovered = text.char_indices().filter(|&(at, _)| !is_covered[at]);
        Ok(uncovered.map(|(_, c)| c).collect())
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.inner
            .decode(ids, true)
            .map_err(|error| error.to_string())
    }
}

/// The settings of a model that concern characters outside its vocabulary.
fn model_settings(model: &Value) -> Value {
    let keys = ["unk_id", "unk_token", "byte_fallback"];
    let settings = keys.map(|key| (key.to_owned(), model[key].clone()));
    Value::Object(settings.into_iter().collect())
}

/// Checks the SentencePiece maps in a normalizer or a sequence of them. On a damaged map the library
/// panics, or allocates the size that its header claims.
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
                format!("its `precompiled_charsmap` is not in base64 ({error}); download it again")
            })?;
            CharsMap::new(&blob)?.check()
        }),
        Value::Array(items) => items.iter().try_for_each(check_charsmaps),
        _ => Ok(()),
    }
}

/// Returns the character that begins each word if the tokenizer only splits at it. No other stage then
/// looks across words, so the ids of the words are the ids of the text.
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
