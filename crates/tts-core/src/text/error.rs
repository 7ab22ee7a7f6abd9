//! Errors of texts and tokenizers.

use std::path::PathBuf;

/// An error of this module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The text contains nothing that can be spoken.
    #[error(
        "the text contains nothing to speak: it is empty, or nothing remains after removing whitespace \
         and the characters that this model deletes; use at least one word"
    )]
    Empty,
    /// A tokenizer file is invalid or not supported.
    #[error("cannot use the tokenizer `{}`: {reason}", path.display())]
    InvalidTokenizer {
        /// The file, or the name of its embedded bytes.
        path: PathBuf,
        /// What was found and what is expected.
        reason: String,
    },
    /// A tokenizer failed on a text or on a list of token ids.
    #[error("the tokenizer `{}` failed to {action}: {reason}", path.display())]
    Tokenize {
        /// The file, or the name of its embedded bytes.
        path: PathBuf,
        /// `encode` or `decode`.
        action: &'static str,
        /// The tokenizer's message.
        reason: String,
    },
    /// A token id is not in the vocabulary.
    #[error(
        "token id {id} is not in the vocabulary of the tokenizer `{}`, whose ids are 0 to {} \
         (ids come from `Tokenizer::encode` of the same tokenizer)", path.display(), vocab_size - 1
    )]
    UnknownTokenId {
        /// The file, or the name of its embedded bytes.
        path: PathBuf,
        /// The id.
        id: u32,
        /// Size of the vocabulary; at least one.
        vocab_size: usize,
    },
    /// A prepared text was used with another model than the one that prepared it.
    #[error("the text was prepared for another model; prepare it with the model that speaks it")]
    OtherModel,
}

/// A result with a [`TextError`].
pub(super) type Result<T, E = TextError> = std::result::Result<T, E>;
