//! Properties of text processing that hold for any text and any file.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tts_core::GenerateOptions;
use tts_core::text::{
    SegmentTexts, TextError, TextOptions, Tokenizer, TokenizerFormat, segment_text,
};

mod support;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const MODELS: [&str; 4] = [
    "parity/tokenizer.model",
    "parity/tokenizer.json",
    "text/no_byte_fallback.model",
    "text/user_defined_keep_spaces.model",
];

fn read(name: &str) -> (TokenizerFormat, Vec<u8>) {
    let path = format!("{FIXTURES}/{name}");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let format = if name.ends_with(".json") {
        TokenizerFormat::Tokenizers
    } else {
        TokenizerFormat::SentencePiece
    };
    (format, bytes)
}

fn load(name: &str) -> Arc<Tokenizer> {
    let (format, bytes) = read(name);
    Arc::new(Tokenizer::from_bytes(format, &bytes, Path::new(name)).unwrap())
}

fn untouched() -> TextOptions {
    TextOptions {
        append_terminal_punctuation: false,
        capitalize_first_letter: false,
        ..TextOptions::default()
    }
}

fn segment(tokenizer: &Arc<Tokenizer>, text: &str, max_tokens: usize) -> SegmentTexts {
    let max_tokens = NonZeroUsize::new(max_tokens).unwrap();
    segment_text(Arc::clone(tokenizer), text, max_tokens, &untouched()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn segments_of_any_text_have_the_reported_token_count(text in any::<String>(), max_tokens in 1_usize..60) {
        for model in MODELS {
            let tokenizer = load(model);
            let max_tokens = NonZeroUsize::new(max_tokens).unwrap();
            match segment_text(Arc::clone(&tokenizer), &text, max_tokens, &TextOptions::default()) {
                Err(error) => prop_assert!(matches!(error, TextError::Empty)),
                Ok(segments) => for segment in segments {
                    let segment = segment.unwrap();
                    prop_assert!(!segment.text.is_empty());
                    prop_assert_eq!(tokenizer.encode(&segment.text).unwrap().len(), segment.token_count);
                    let is_one_char = segment.text.chars().nth(1).is_none();
                    prop_assert!(segment.token_count <= max_tokens.get() + 8 || is_one_char);
                    if segment.in_cut_stretch {
                        prop_assert!(segment.token_count <= max_tokens.get() || is_one_char);
                    }
                }
            }
        }
    }

    #[test]
    fn segments_lose_no_letter_or_digit(
        words in prop::collection::vec("[a-z]{1,9}[.,;:!?]{0,2}|[A-Z0-9]{1,6}|[\u{e9}\u{4f60}]{1,4}|[a-z]{1,60}", 1..60),
        max_tokens in 2_usize..60,
    ) {
        let text = words.join(" ");
        let spoken = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        for model in &MODELS[..2] {
            let tokenizer = load(model);
            let segments: Vec<String> = segment(&tokenizer, &text, max_tokens)
                .map(|segment| segment.unwrap().text)
                .collect();
            prop_assert_eq!(spoken(&segments.concat()), spoken(&text));
        }
    }

    #[test]
    fn prepared_segments_of_any_text_are_bounded(
        text in any::<String>(),
        unit in "\\PC{1,20}",
        max_tokens in 1_usize..60,
    ) {
        /// Tokens that normalization can add, and those that a text can have more on its own.
        const EXTRA_TOKENS: usize = 24;
        thread_local! {
            static MODEL: tts_core::Model = support::model("lsd").0;
        }
        let options = GenerateOptions::default().with_max_tokens(max_tokens);
        let prepared = MODEL.with(|model| model.prepare(format!("a{text}{}", unit.repeat(40)), &options));
        for segment in prepared.unwrap().segments().unwrap() {
            prop_assert!(segment.unwrap().tokens.len() <= max_tokens + EXTRA_TOKENS);
        }
    }

    #[test]
    fn damaged_file_loads_or_is_rejected_with_its_name(
        model in 0..MODELS.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (format, mut bytes) = read(MODELS[model]);
        for (index, bit) in flips {
            let index = index.index(bytes.len());
            bytes[index] ^= 1_u8 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        use_or_reject(format, &bytes);
    }

    #[test]
    fn random_bytes_are_rejected_with_their_name(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use_or_reject(TokenizerFormat::SentencePiece, &bytes);
        use_or_reject(TokenizerFormat::Tokenizers, &bytes);
    }
}

/// Uses the tokenizer if the bytes are valid; otherwise the message names the file.
fn use_or_reject(format: TokenizerFormat, bytes: &[u8]) {
    match Tokenizer::from_bytes(format, bytes, Path::new("damaged.file")) {
        Ok(tokenizer) => {
            let all: Vec<u32> = (0..tokenizer.vocab_size() as u32).collect();
            // Errors are allowed, panics are not.
            let _ = tokenizer.decode(&all);
            let _ = tokenizer.encode("Hé ﬁ ½ 3.14 你好 😀 \u{3000} the");
        }
        Err(error) => assert!(error.to_string().contains("`damaged.file`"), "{error}"),
    }
}

#[test]
fn messages_name_the_defect_of_a_file() {
    use TokenizerFormat::{SentencePiece, Tokenizers};
    let json = read("parity/tokenizer.json").1;
    let model = read("text/no_byte_fallback.model").1;
    let with = |extra: &[u8]| [&model[..], extra].concat();
    let json_with = |from: &str, to: &str| {
        let text = str::from_utf8(&json).unwrap();
        assert!(text.contains(from));
        text.replacen(from, to, 1).into_bytes()
    };
    let charsmap = |blob: &str| {
        let map =
            format!(r#""normalizer": {{"type": "Precompiled", "precompiled_charsmap": "{blob}"}}"#);
        json_with(r#""normalizer": null"#, &map)
    };
    let fixed_padding = r#""padding": {"strategy": {"Fixed": 4000000000000000000},
        "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}"#;
    let cases: Vec<(TokenizerFormat, Vec<u8>, &str)> = vec![
        (SentencePiece, vec![], "it is empty"),
        (
            SentencePiece,
            json.clone(),
            "not a SentencePiece .model file",
        ),
        (
            SentencePiece,
            model[..model.len() - 1].to_vec(),
            "cut short or damaged",
        ),
        // A piece of 2^60 bytes, according to its header.
        (
            SentencePiece,
            [&[0x0A][..], &[0x80; 8], &[0x10]].concat(),
            "cut short or damaged",
        ),
        (SentencePiece, vec![0x12, 0], "holds no pieces"),
        (SentencePiece, with(b"\x12\x02\x18\x02"), "its kind is BPE"),
        (
            SentencePiece,
            with(b"\x12\x03\xc0\x01\x01"),
            "treat_whitespace_as_suffix",
        ),
        (
            SentencePiece,
            with(b"\x12\x03\x98\x02\x01"),
            "no piece <0x00>",
        ),
        (
            SentencePiece,
            with(b"\x0a\x05\x0a\x01Q\x18\x02"),
            "both the unknown piece",
        ),
        (SentencePiece, with(b"\x0a\x03\x0a\x01e"), "are both \"e\""),
        (SentencePiece, with(b"\x0a\x02\x18\x01"), "is empty"),
        (
            SentencePiece,
            with(b"\x0a\x08\x0a\x01\x7e\x15\x00\x00\xc0\x7f"),
            "the score NaN",
        ),
        (
            SentencePiece,
            with(b"\x1a\x04\x12\x02xx"),
            "precompiled_charsmap",
        ),
        (SentencePiece, with(b"\x2a\x04\x12\x02xx"), "denormalizer"),
        (Tokenizers, vec![], "not a `tokenizer.json`"),
        (Tokenizers, model.clone(), "not a `tokenizer.json`"),
        (
            Tokenizers,
            b"{\"model\": 3}".to_vec(),
            "not a `tokenizer.json`",
        ),
        (
            Tokenizers,
            json_with(r#""padding": null"#, fixed_padding),
            "`padding`",
        ),
        (Tokenizers, charsmap("!"), "not in base64"),
        // A trie of 4 GiB, an empty one, and one with an offset out of bounds.
        (Tokenizers, charsmap("/////w=="), "is cut short"),
        (Tokenizers, charsmap("AAAAAA=="), "is damaged"),
        (Tokenizers, charsmap("BAAAAAD8//8="), "is damaged"),
    ];
    for (format, bytes, expected) in cases {
        let error = Tokenizer::from_bytes(format, &bytes, Path::new("dir/the.file")).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(expected), "{expected}: {message}");
        assert!(message.contains("`dir/the.file`"), "{message}");
    }
}

#[test]
fn rejects_unknown_token_id_with_the_valid_range() {
    for model in MODELS {
        let tokenizer = load(model);
        let size = tokenizer.vocab_size();
        assert!(tokenizer.decode(&[size as u32 - 1]).is_ok());
        let message = tokenizer.decode(&[0, size as u32]).unwrap_err().to_string();
        assert!(message.contains(&format!("token id {size} ")), "{message}");
        assert!(message.contains(&format!("0 to {}", size - 1)), "{message}");
    }
}

#[test]
fn text_without_tokens_is_an_error() {
    let tokenizer = load("parity/tokenizer.model");
    // A zero-width space: whitespace to the model's normalizer, but not to Python.
    let mut segments = segment(&tokenizer, "\u{200b}", 50);
    assert!(matches!(segments.next(), Some(Err(TextError::Empty))));
    assert!(segments.next().is_none());
}

#[test]
fn tokenizer_and_segments_are_send() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Tokenizer>();
    is_send_and_sync::<SegmentTexts>();
    let tokenizer = load("parity/tokenizer.json");
    let mut segments = segment(&tokenizer, "One. Two.", 3);
    drop(tokenizer);
    let first = std::thread::spawn(move || segments.next()).join().unwrap();
    assert_eq!(first.unwrap().unwrap().text, "One.");
}
