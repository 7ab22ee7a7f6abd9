//! From text to token ids.
//!
//! [`normalize`] brings a text into the form that the models were trained on, [`segment_text`] cuts a
//! text of any length into segments, and [`Tokenizer`] encodes text and decodes token ids. All three
//! match the Python reference character for character. Where Python's definition of whitespace, digits
//! or capitals differs from Rust's, Python's is used. A [`PreparedText`] is the result of all three.

mod error;
mod json;
mod normalize;
mod prepared;
mod segment;
mod sentencepiece;
mod source;
mod split;
mod stream;
mod stretch;
mod tokenizer;
mod unicode;

pub use error::TextError;
pub use normalize::{NormalizedText, TextOptions, normalize};
#[cfg(test)]
pub(crate) use prepared::max_frames;
pub use prepared::{CUT_AT_ONCE_BYTES, PreparedText, Segment, SegmentSize, Segments};
pub(crate) use prepared::{SegmentRules, preparing_bytes};
pub use segment::{CutStretches, SegmentText, SegmentTexts, segment_text};
pub use tokenizer::{Tokenizer, TokenizerFormat};

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::{Tokenizer, TokenizerFormat};

    /// A tokenizer of each format, for the same vocabulary.
    pub(super) fn tokenizers() -> [Arc<Tokenizer>; 2] {
        ["parity/tokenizer.model", "parity/tokenizer.json"].map(tokenizer)
    }

    /// A tokenizer from the fixtures.
    pub(super) fn tokenizer(file: &str) -> Arc<Tokenizer> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(file);
        let bytes = std::fs::read(&path).unwrap();
        let format = match file.ends_with(".json") {
            true => TokenizerFormat::Tokenizers,
            false => TokenizerFormat::SentencePiece,
        };
        Arc::new(Tokenizer::from_bytes(format, &bytes, &path).unwrap())
    }
}
