//! What each fuzz target does with its bytes.
//!
//! The fuzzer calls these functions with bytes of its own; `crates/tts-core/tests/fuzz_corpus.rs`
//! calls them with the files of `corpus/`, as ordinary tests. Each accepts that the bytes are
//! refused with an error, and panics when what is accepted breaks a promise of the library.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tempfile::NamedTempFile;
use tts_core::audio::{Audio, PromptLength, SAMPLE_RATES_HZ, prepare_voice_prompt};
use tts_core::text::{TextError, TextOptions, Tokenizer, TokenizerFormat, normalize, segment_text};
use tts_core::{Config, Model, ModelParts, RunOptions, Weights, expected_tensors};

const MODEL_CONFIG: &str =
    include_str!("../../crates/tts-core/tests/fixtures/parity/small_pointwise/config.yaml");
const MODEL_WEIGHTS: &[u8] =
    include_bytes!("../../crates/tts-core/tests/fixtures/parity/small_pointwise/model.safetensors");
const JSON_TOKENIZER: &[u8] =
    include_bytes!("../../crates/tts-core/tests/fixtures/parity/tokenizer.json");
const SENTENCEPIECE_TOKENIZER: &[u8] =
    include_bytes!("../../crates/tts-core/tests/fixtures/parity/tokenizer.model");

/// Reads the bytes as a config. The tensors of a config that is accepted can be counted.
pub fn config(data: &[u8]) {
    let yaml = String::from_utf8_lossy(data);
    let Ok(config) = Config::parse(&yaml, Path::new("fuzzed.yaml")) else {
        return;
    };
    for tensor in expected_tensors(&config) {
        let elements = tensor
            .shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size));
        assert!(elements.is_some_and(|count| count > 0), "{tensor:?}");
    }
}

/// Opens the bytes as a weights file, alone and as both halves of a pair in the older format.
pub fn safetensors_header(data: &[u8]) {
    let file = on_disk(data);
    let _ = Weights::open(file.path());
    let _ = Weights::open_components(file.path(), file.path());
    let _ = Weights::open_with_mimi(file.path(), file.path());
}

/// Loads the bytes as a voice of a small model. A voice that is accepted has positions, and
/// memory in proportion.
pub fn voice_file(data: &[u8]) {
    static MODEL: LazyLock<Model> = LazyLock::new(|| {
        let name = Path::new("small_pointwise");
        let parts = ModelParts {
            config: Config::parse(MODEL_CONFIG, name).expect("the config is valid"),
            weights: Weights::from_static(MODEL_WEIGHTS, name).expect("the weights are readable"),
            tokenizer: Tokenizer::from_bytes(TokenizerFormat::Tokenizers, JSON_TOKENIZER, name)
                .expect("the tokenizer is valid"),
            no_voice_cloning: None,
        };
        let options = RunOptions {
            threads: Some(1),
            ..RunOptions::default()
        };
        Model::load(parts, options).expect("the model loads")
    });
    let file = on_disk(data);
    if let Ok(voice) = MODEL.load_voice(file.path()) {
        assert!(voice.positions() > 0);
        let expected = voice.positions() * MODEL.size().kv_bytes_per_position;
        assert_eq!(voice.size_bytes(), expected as u64);
    }
}

/// Reads the bytes as an audio file, whatever their format turns out to be, and makes a voice
/// prompt of it. What is accepted keeps to the limits.
pub fn wav(data: &[u8]) {
    const LIMIT: Duration = Duration::from_secs(2);
    let file = on_disk(data);
    let Ok(audio) = Audio::read_with_limit(file.path(), LIMIT) else {
        return;
    };
    assert!(SAMPLE_RATES_HZ.contains(&audio.sample_rate_hz()));
    assert!(audio.duration() <= LIMIT);
    // Half of 48 kHz as most files, so that the filter is short: a ratio of large numbers takes
    // the fuzzer's time without showing anything new.
    if audio.sample_rate_hz().is_multiple_of(1000)
        && let Ok(prompt) = prepare_voice_prompt(&audio, 24_000, PromptLength::Truncated)
    {
        assert!(prompt.samples().iter().all(|sample| sample.is_finite()));
    }
}

/// Cuts a text into segments with both kinds of tokenizer. The first byte sets the maximum tokens of a
/// segment, the second the normalization, and the rest is the text.
pub fn text_chunking(data: &[u8]) {
    static TOKENIZERS: LazyLock<[Arc<Tokenizer>; 2]> = LazyLock::new(|| {
        [
            (TokenizerFormat::SentencePiece, SENTENCEPIECE_TOKENIZER),
            (TokenizerFormat::Tokenizers, JSON_TOKENIZER),
        ]
        .map(|(format, bytes)| {
            let tokenizer = Tokenizer::from_bytes(format, bytes, Path::new("tokenizer"));
            Arc::new(tokenizer.expect("the tokenizer is valid"))
        })
    });
    let [max_tokens, switches, text @ ..] = data else {
        return;
    };
    let max_tokens = NonZeroUsize::MIN.saturating_add(usize::from(max_tokens % 64));
    let options = text_options(*switches);
    let text = String::from_utf8_lossy(text);
    for tokenizer in TOKENIZERS.iter() {
        check_segments(tokenizer, &text, max_tokens, &options);
    }
}

fn text_options(switches: u8) -> TextOptions {
    let is_set = |bit: u8| switches & 1 << bit != 0;
    let replacements = [('"', ""), ('\u{2019}', "'"), ('\u{2014}', ",")];
    TextOptions {
        pad_with_spaces_for_short_inputs: is_set(0),
        remove_semicolons: is_set(1),
        append_terminal_punctuation: is_set(2),
        capitalize_first_letter: is_set(3),
        replace_characters: replacements
            .into_iter()
            .filter(|_| is_set(4))
            .map(|(from, to)| (from, to.to_owned()))
            .collect(),
    }
}

fn check_segments(
    tokenizer: &Arc<Tokenizer>,
    text: &str,
    max_tokens: NonZeroUsize,
    options: &TextOptions,
) {
    /// The maximum number of characters that SentencePiece normalizes one to (U+FDFA).
    const LONGEST_NORMALIZATION: usize = 18;

    let normalized = normalize(text, options);
    let segments = match segment_text(Arc::clone(tokenizer), text, max_tokens, options) {
        Ok(segments) => segments,
        Err(error) => {
            assert!(matches!(error, TextError::Empty), "{error}");
            assert!(normalized.is_err(), "only blank texts are rejected at once");
            return;
        }
    };
    let normalized = normalized
        .expect("a text with segments is normalizable")
        .text;

    let max_segments = LONGEST_NORMALIZATION * normalized.chars().count();
    let mut count = 0;
    let mut spoken = String::new();
    for segment in segments {
        let segment = match segment {
            Ok(segment) => segment,
            Err(error) => {
                assert!(matches!(error, TextError::Empty), "{error}");
                assert_eq!(count, 0, "an empty text has no segments");
                return;
            }
        };
        assert!(!segment.text.trim().is_empty());
        let ids = tokenizer
            .encode(&segment.text)
            .expect("a segment has tokens");
        assert_eq!(ids.len(), segment.token_count);
        spoken.push_str(&segment.text);
        count += 1;
        assert!(count <= max_segments, "more segments than characters");
    }
    assert!(!spoken.is_empty(), "the text has no segments");

    // Other characters may be normalized, or cut into bytes that do not decode to the same text. A text
    // can also contain the name of a token, such as `<0x41>`.
    let is_plain = |c: char| (c.is_ascii_graphic() && c != '<') || c == ' ';
    if normalized.chars().all(is_plain) {
        let letters = |text: &str| text.replace(' ', "");
        assert_eq!(
            letters(&spoken),
            letters(&normalized),
            "text was lost or added"
        );
    }
}

/// A file of these bytes, removed when dropped.
fn on_disk(data: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file can be made");
    file.write_all(data)
        .expect("a temporary file can be written");
    file
}
