//! Decodes token ids to text.

use super::{PieceKind, SPACE, SentencePiece, char_length};

impl SentencePiece {
    /// Decodes `ids`, all of which are in the vocabulary.
    pub(in crate::text) fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        let mut bytes = Vec::new();
        let mut at_start = true;
        let mut dropped_space = false;
        for &id in ids {
            let piece = &self.pieces[id as usize];
            if let PieceKind::Byte(byte) = piece.kind {
                bytes.push(byte);
                continue;
            }
            push_bytes(&mut text, &mut bytes);
            if dropped_space || !text.is_empty() {
                at_start = false;
            }
            dropped_space = false;
            match piece.kind {
                PieceKind::Control => {}
                PieceKind::Unknown => text.push_str(&self.unknown_surface),
                _ => {
                    let mut surface = piece.text.as_str();
                    if at_start
                        && self.normalizer.drops_leading_space()
                        && let Some(rest) = surface.strip_prefix(SPACE)
                    {
                        surface = rest;
                        // If runs of spaces are removed, the whole leading run is dropped; otherwise
                        // only its first space.
                        dropped_space = !self.normalizer.remove_extra_whitespaces;
                    }
                    text.push_str(&surface.replace(SPACE, " "));
                }
            }
        }
        push_bytes(&mut text, &mut bytes);
        text
    }
}

/// Appends `bytes` as UTF-8 and clears them. Each byte that is not part of a character becomes one U+FFFD
/// (Rust's lossy conversion uses one for each invalid sequence).
fn push_bytes(text: &mut String, bytes: &mut Vec<u8>) {
    let mut rest = bytes.as_slice();
    while let Some(&first) = rest.first() {
        let length = char_length(first);
        match rest.get(..length).map(str::from_utf8) {
            Some(Ok(character)) => {
                text.push_str(character);
                rest = &rest[length..];
            }
            _ => {
                text.push(char::REPLACEMENT_CHARACTER);
                rest = &rest[1..];
            }
        }
    }
    bytes.clear();
}
