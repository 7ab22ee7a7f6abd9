//! From ids back to text.

use super::{PieceKind, SPACE, SentencePiece, char_length};

impl SentencePiece {
    /// The text of `ids`, each of which is in the vocabulary.
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
                        // Where runs of spaces are removed, all of a leading run goes; otherwise
                        // only its first.
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

/// Appends `bytes` as UTF-8, with one U+FFFD for each byte that is not part of a character (Rust's
/// own lossy conversion puts one for each broken sequence), and empties them.
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
