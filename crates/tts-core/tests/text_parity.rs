//! The recorded results of the reference.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tts_core::text::{
    NormalizedText, SegmentText, TextError, TextOptions, Tokenizer, TokenizerFormat, normalize,
    segment_text,
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

#[derive(Deserialize)]
struct Golden {
    text: Vec<GoldenText>,
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct GoldenText {
    input: String,
    prepared: String,
    frames_after_eos_guess: usize,
    ids: Vec<u32>,
    decoded: String,
    chunks: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct TokenizerCases {
    cases: Vec<TextCase>,
    decode: Vec<DecodeCase>,
}

#[derive(Deserialize)]
struct TextCase {
    text: String,
    ids: Vec<u32>,
    decoded: String,
}

#[derive(Deserialize)]
struct DecodeCase {
    ids: Vec<u32>,
    decoded: String,
}

#[derive(Deserialize)]
struct PrepareCase {
    text: String,
    pad_with_spaces_for_short_inputs: bool,
    remove_semicolons: bool,
    append_terminal_punctuation: bool,
    capitalize_first_letter: bool,
    replace_characters: BTreeMap<char, String>,
    prepared: Option<PreparedCase>,
}

#[derive(Deserialize)]
struct PreparedCase {
    text: String,
    frames_after_eos_guess: usize,
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn load(path: &str) -> Arc<Tokenizer> {
    let path = PathBuf::from(FIXTURES).join(path);
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => TokenizerFormat::Tokenizers,
        _ => TokenizerFormat::SentencePiece,
    };
    Arc::new(Tokenizer::from_bytes(format, &read(&path), &path).unwrap())
}

#[test]
fn prepares_tokenizes_and_segments_texts_as_recorded() {
    let default = TextOptions::default;
    let models = [
        ("lsd", "tokenizer.model", default()),
        (
            "lsd_bf16",
            "tokenizer.model",
            TextOptions {
                remove_semicolons: true,
                pad_with_spaces_for_short_inputs: true,
                ..default()
            },
        ),
        ("small_pointwise", "tokenizer.json", small_pointwise()),
        (
            "drifting",
            "tokenizer.model",
            TextOptions {
                append_terminal_punctuation: false,
                capitalize_first_letter: false,
                ..default()
            },
        ),
        ("flow_matching", "tokenizer.model", default()),
    ];
    for (model, tokenizer, options) in models {
        let tokenizer = load(&format!("parity/{tokenizer}"));
        assert_eq!(tokenizer.vocab_size(), 500);
        let golden = read(format!("{FIXTURES}/parity/{model}/golden.json"));
        let golden: Golden = serde_json::from_slice(&golden).unwrap();
        assert!(!golden.text.is_empty() && !golden.errors.is_empty());
        for case in golden.text {
            let context = format!("{model}: {:?}", case.input);
            let expected = NormalizedText {
                text: case.prepared,
                frames_after_eos_guess: case.frames_after_eos_guess,
            };
            assert_eq!(
                normalize(&case.input, &options).unwrap(),
                expected,
                "{context}"
            );
            assert_eq!(
                tokenizer.encode(&expected.text).unwrap(),
                case.ids,
                "{context}"
            );
            assert_eq!(
                tokenizer.decode(&case.ids).unwrap(),
                case.decoded,
                "{context}"
            );
            assert_eq!(case.chunks.len(), 2);
            for (max_tokens, expected) in case.chunks {
                let max_tokens: NonZeroUsize = max_tokens.parse().unwrap();
                let context = format!("{context} at {max_tokens}");
                let segments =
                    segment_text(Arc::clone(&tokenizer), &case.input, max_tokens, &options)
                        .unwrap()
                        .map(Result::unwrap)
                        .collect();
                check_segments(&tokenizer, segments, &expected, max_tokens.get(), &context);
            }
        }
        for text in golden.errors {
            let error = normalize(&text, &options).unwrap_err();
            assert!(
                matches!(error, TextError::Empty),
                "{model}: {text:?}: {error}"
            );
            assert!(error.to_string().contains("nothing to speak"));
        }
    }
}

/// Checks that the segments are those of the reference, except that each stretch without punctuation that
/// is longer than `max_tokens` is cut into pieces.
fn check_segments(
    tokenizer: &Tokenizer,
    segments: Vec<SegmentText>,
    expected: &[String],
    max_tokens: usize,
    context: &str,
) {
    let mut segments = segments.into_iter().peekable();
    for expected in expected {
        let segment = segments.next().expect(context);
        if !segment.in_cut_stretch {
            assert_eq!(&segment.text, expected, "{context}");
            continue;
        }
        let mut pieces = vec![segment];
        while pieces
            .iter()
            .map(|piece| piece.text.len() + 1)
            .sum::<usize>()
            <= expected.len()
        {
            pieces.push(segments.next().expect(context));
        }
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        let is_short =
            |piece: &SegmentText| piece.in_cut_stretch && piece.token_count <= max_tokens;
        assert_eq!(&texts.join(" "), expected, "{context}");
        assert!(pieces.len() > 1 && pieces.iter().all(is_short), "{context}");
        assert!(
            tokenizer.encode(expected).unwrap().len() > max_tokens,
            "{context}"
        );
    }
    assert!(segments.next().is_none(), "{context}");
}

fn small_pointwise() -> TextOptions {
    let replacements = [('–', ","), ('—', ","), ('’', "'"), ('‘', "'"), ('"', "")];
    TextOptions {
        replace_characters: replacements.map(|(c, with)| (c, with.to_owned())).into(),
        ..TextOptions::default()
    }
}

#[test]
fn sentencepiece_models_match_the_reference_library() {
    let recorded = read(format!("{FIXTURES}/text/sentencepiece_cases.json"));
    let recorded: BTreeMap<String, TokenizerCases> = serde_json::from_slice(&recorded).unwrap();
    assert_eq!(recorded.len(), 4);
    for (name, recorded) in recorded {
        let tokenizer = load(&name);
        for case in recorded.cases {
            let ids = tokenizer.encode(&case.text).unwrap();
            assert_eq!(ids, case.ids, "{name}: {:?}", case.text);
            assert_eq!(
                tokenizer.decode(&ids).unwrap(),
                case.decoded,
                "{name}: {ids:?}"
            );
        }
        for case in recorded.decode {
            let text = tokenizer.decode(&case.ids).unwrap();
            assert_eq!(text, case.decoded, "{name}: {:?}", case.ids);
        }
    }
}

#[test]
fn normalization_matches_the_python_reference() {
    let recorded = read(format!("{FIXTURES}/text/prepare_cases.json"));
    let recorded: Vec<PrepareCase> = serde_json::from_slice(&recorded).unwrap();
    assert!(!recorded.is_empty());
    for case in recorded {
        let options = TextOptions {
            pad_with_spaces_for_short_inputs: case.pad_with_spaces_for_short_inputs,
            remove_semicolons: case.remove_semicolons,
            append_terminal_punctuation: case.append_terminal_punctuation,
            capitalize_first_letter: case.capitalize_first_letter,
            replace_characters: case.replace_characters,
        };
        let expected = case.prepared.map(|prepared| NormalizedText {
            text: prepared.text,
            frames_after_eos_guess: prepared.frames_after_eos_guess,
        });
        let normalized = match normalize(&case.text, &options) {
            Err(TextError::Empty) => None,
            other => Some(other.unwrap()),
        };
        assert_eq!(normalized, expected, "{:?}", case.text);
    }
}
