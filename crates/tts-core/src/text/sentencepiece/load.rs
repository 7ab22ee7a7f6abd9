//! Reads and checks a `.model` file.

use prost::Message;

use super::normalizer::Normalizer;
use super::trie::Trie;
use super::{Piece, PieceKind, SPACE, SentencePiece, UNKNOWN_PENALTY, proto};

/// `TrainerSpec.ModelType.UNIGRAM`, also the meaning of a missing field.
const UNIGRAM: i32 = 1;
/// The text of the unknown id if the file does not specify one: a double question mark in spaces.
const DEFAULT_UNKNOWN_SURFACE: &str = " \u{2047} ";

impl SentencePiece {
    /// Reads a model; the error is the defect of the file, whose name the caller adds.
    pub(in crate::text) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("it is empty; a SentencePiece .model file is expected".to_owned());
        }
        let model = proto::Model::decode(bytes).map_err(|error| {
            format!(
                "it is not a SentencePiece .model file, or is cut short or damaged ({error}); \
                 download it again"
            )
        })?;
        let trainer = model.trainer.unwrap_or_default();
        match trainer.model_type.unwrap_or(UNIGRAM) {
            UNIGRAM => {}
            2 => return Err(unsupported_kind("BPE")),
            3 => return Err(unsupported_kind("word")),
            4 => return Err(unsupported_kind("character")),
            other => return Err(unsupported_kind(&format!("unknown ({other})"))),
        }
        if trainer.treat_whitespace_as_suffix.unwrap_or(false) {
            return Err(
                "it marks spaces at the end of words (`treat_whitespace_as_suffix`), which is not \
                 supported; only models that mark them at the start are supported"
                    .to_owned(),
            );
        }
        let rewrites_output = model
            .denormalizer
            .and_then(|spec| spec.precompiled_charsmap)
            .is_some_and(|map| !map.is_empty());
        if rewrites_output {
            return Err("it has a denormalizer, which is not supported".to_owned());
        }

        let byte_fallback = trainer.byte_fallback.unwrap_or(false);
        let pieces = read_pieces(model.pieces, byte_fallback)?;
        let unknown_id = the_unknown_id(&pieces)?;
        let byte_ids = byte_fallback.then(|| byte_ids(&pieces)).transpose()?;

        let trie = build_trie(&pieces, |kind| {
            matches!(
                kind,
                PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused
            )
        })?;
        let user_defined = build_trie(&pieces, |kind| kind == PieceKind::UserDefined)?;
        let min_score = pieces
            .iter()
            .filter(|piece| piece.kind == PieceKind::Normal)
            .map(|piece| piece.score)
            .fold(f32::MAX, f32::min);
        let words_are_independent = pieces.iter().all(|piece| {
            matches!(piece.kind, PieceKind::Unknown | PieceKind::Control)
                || !piece.text.trim_start_matches(SPACE).contains(SPACE)
        });
        Ok(Self {
            trie,
            normalizer: Normalizer::new(model.normalizer.unwrap_or_default(), user_defined)?,
            unknown_id,
            unknown_score: min_score - UNKNOWN_PENALTY,
            unknown_surface: trainer
                .unk_surface
                .unwrap_or_else(|| DEFAULT_UNKNOWN_SURFACE.to_owned()),
            byte_ids,
            words_are_independent,
            pieces,
        })
    }
}

fn unsupported_kind(kind: &str) -> String {
    format!(
        "its kind is {kind}; only unigram SentencePiece models are supported (a BPE vocabulary can \
         be given as a tokenizer.json instead)"
    )
}

fn read_pieces(pieces: Vec<proto::Piece>, byte_fallback: bool) -> Result<Vec<Piece>, String> {
    if pieces.is_empty() {
        return Err("it holds no pieces; it is not a SentencePiece .model file".to_owned());
    }
    if u32::try_from(pieces.len()).is_err() {
        return Err("it holds more pieces than there are ids".to_owned());
    }
    pieces
        .into_iter()
        .enumerate()
        .map(|(id, piece)| read_piece(piece, byte_fallback).map_err(|e| format!("piece {id} {e}")))
        .collect()
}

fn read_piece(piece: proto::Piece, byte_fallback: bool) -> Result<Piece, String> {
    let text = piece.piece.unwrap_or_default();
    let score = piece.score.unwrap_or(0.0);
    if text.is_empty() {
        return Err("is empty; every piece needs a text".to_owned());
    }
    if !score.is_finite() {
        return Err(format!(
            "({text:?}) has the score {score}; scores are finite"
        ));
    }
    // The values of `ModelProto.SentencePiece.Type`; a missing field means a normal piece.
    let kind = match piece.kind.unwrap_or(1) {
        1 => PieceKind::Normal,
        2 => PieceKind::Unknown,
        3 => PieceKind::Control,
        4 => PieceKind::UserDefined,
        5 => PieceKind::Unused,
        6 if !byte_fallback => {
            return Err(format!(
                "({text:?}) is a byte, but the model does not use `byte_fallback`"
            ));
        }
        6 => PieceKind::Byte(parse_byte(&text).ok_or_else(|| {
            format!("({text:?}) is marked as a byte; such pieces are <0x00> to <0xFF>")
        })?),
        other => {
            return Err(format!(
                "({text:?}) is of the unknown type {other}; types are 1 to 6"
            ));
        }
    };
    Ok(Piece { text, score, kind })
}

/// Returns the value of a byte piece such as `<0x0A>`, in the only spelling that the library accepts.
fn parse_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let value = u8::from_str_radix(digits, 16).ok()?;
    (format!("{value:02X}") == digits).then_some(value)
}

fn the_unknown_id(pieces: &[Piece]) -> Result<u32, String> {
    let mut unknown = (0..)
        .zip(pieces)
        .filter(|(_, piece)| piece.kind == PieceKind::Unknown)
        .map(|(id, _)| id);
    match (unknown.next(), unknown.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err("it has no unknown piece; exactly one is needed".to_owned()),
        (Some(first), Some(second)) => Err(format!(
            "pieces {first} and {second} are both the unknown piece; exactly one is needed"
        )),
    }
}

fn byte_ids(pieces: &[Piece]) -> Result<Box<[u32; 256]>, String> {
    let mut ids = [None; 256];
    for (id, piece) in (0..).zip(pieces) {
        if let PieceKind::Byte(byte) = piece.kind
            && let Some(first) = ids[usize::from(byte)].replace(id)
        {
            return Err(format!("pieces {first} and {id} are both {:?}", piece.text));
        }
    }
    let mut complete = Box::new([0; 256]);
    for (byte, id) in ids.into_iter().enumerate() {
        complete[byte] = id.ok_or_else(|| {
            format!("it uses `byte_fallback`, but has no piece <0x{byte:02X}>; all 256 are needed")
        })?;
    }
    Ok(complete)
}

fn build_trie(pieces: &[Piece], include: impl Fn(PieceKind) -> bool) -> Result<Trie, String> {
    let entries = (0..)
        .zip(pieces)
        .filter(|(_, piece)| include(piece.kind))
        .map(|(id, piece)| (piece.text.as_bytes(), id))
        .collect();
    Trie::new(entries).map_err(|(first, second)| {
        format!(
            "pieces {first} and {second} are both {:?}; pieces are distinct",
            pieces[first as usize].text
        )
    })
}
