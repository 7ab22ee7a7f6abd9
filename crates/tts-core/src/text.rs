//! From text to token ids, one speakable chunk at a time.
//!
//! [`prepare`] tidies a text the way the models were trained on, [`chunks`] cuts a text of any
//! length into pieces a model speaks in one go, and [`Tokenizer`] turns text into ids and back.
//! All three compute what the Python reference computes, character for character; where Python's
//! idea of whitespace, digits or capitals differs from Rust's, Python's is used.

mod chunk;
mod json;
mod prepare;
mod segment;
mod sentencepiece;
mod tokenizer;
mod unicode;

pub use chunk::{Chunks, TextChunk, chunks};
pub use prepare::{PreparedText, TextOptions, prepare};
pub use tokenizer::{Tokenizer, TokenizerFormat};
