//! The models that are benchmarked.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tts_core::text::{TextOptions, Tokenizer, normalize};
use tts_core::{
    Audio, Config, GenerateOptions, Model, ModelParts, RunOptions, SpeechRequest, SpeechStream,
    Voice, Weights,
};

use crate::{Result, random_model};

/// The text for measuring the time until the first audio.
pub const SHORT_TEXT: &str = "Hello world.";

/// Tokens of the long text. A text of `n` tokens gives at most `n/3 + 2` seconds of audio, so this
/// number gives the 16.4 s over which other implementations were measured.
const LONG_TEXT_TOKENS: usize = 43;

/// A model that is benchmarked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BenchModel {
    /// The program's built-in model.
    BuiltIn,
    /// A model with the sizes of Kyutai's English model and random weights.
    English110M,
}

/// A loaded model and a voice.
pub struct Loaded {
    /// The model.
    pub model: Model,
    /// A voice of the model.
    pub voice: Voice,
}

impl BenchModel {
    /// All models, the fastest first.
    pub const ALL: [Self; 2] = [Self::BuiltIn, Self::English110M];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::English110M => "110m-random",
        }
    }

    /// Writes the files that are not in the repository into `folder`, unless they exist.
    ///
    /// # Errors
    ///
    /// The files cannot be written.
    pub fn prepare(self, folder: &Path) -> Result<()> {
        match self {
            Self::BuiltIn => Ok(()),
            Self::English110M => random_model::prepare(folder),
        }
    }

    /// Returns the paths of the config and of the voice, for other implementations.
    pub fn files(self, folder: &Path) -> (PathBuf, PathBuf) {
        match self {
            Self::BuiltIn => {
                let data =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/builtin-voice/data");
                let voice = format!("voices/{}.safetensors", builtin_voice::VOICES[0].0);
                (data.join("config.yaml"), data.join(voice))
            }
            Self::English110M => random_model::files(folder),
        }
    }

    /// Opens the config, the tokenizer and the weights, without loading them.
    ///
    /// # Errors
    ///
    /// The files are missing (see [`Self::prepare`]) or damaged.
    pub fn open(self, folder: &Path) -> Result<ModelParts> {
        match self {
            Self::BuiltIn => {
                let config =
                    Config::parse(builtin_voice::CONFIG, Path::new("built-in config.yaml"))?;
                Ok(ModelParts {
                    tokenizer: Tokenizer::from_bytes(
                        config.flow_lm.lookup_table.tokenizer,
                        builtin_voice::TOKENIZER,
                        Path::new("built-in tokenizer.model"),
                    )?,
                    weights: Weights::from_static(
                        builtin_voice::WEIGHTS,
                        Path::new("built-in model.safetensors"),
                    )?,
                    config,
                    no_voice_cloning: None,
                })
            }
            Self::English110M => random_model::open(folder),
        }
    }

    /// Loads the model and a voice.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn load(self, folder: &Path, threads: usize) -> Result<Loaded> {
        let options = RunOptions::default().with_threads(threads);
        let model = Model::load(self.open(folder)?, options)?;
        let voice = match self {
            Self::BuiltIn => {
                let (name, bytes) = builtin_voice::VOICES[0];
                model.voice_from_static(bytes, Path::new(name))?
            }
            Self::English110M => model.load_voice(&self.files(folder).1)?,
        };
        Ok(Loaded { model, voice })
    }
}

impl Loaded {
    /// Starts to generate the speech of a text.
    ///
    /// # Errors
    ///
    /// The text or the options are invalid.
    pub fn stream(&self, text: &str, options: &GenerateOptions) -> Result<SpeechStream> {
        Ok(self.model.stream(self.request(text, options)?)?)
    }

    /// Generates the speech of a text.
    ///
    /// # Errors
    ///
    /// As [`Self::stream`].
    pub fn generate(&self, text: &str, options: &GenerateOptions) -> Result<Audio> {
        Ok(self.model.generate(self.request(text, options)?)?)
    }

    fn request(&self, text: &str, options: &GenerateOptions) -> Result<SpeechRequest> {
        let text = self.model.prepare(text, options)?;
        Ok(SpeechRequest::new(
            self.voice.clone(),
            text,
            options.clone(),
        ))
    }
}

/// Options for deterministic speech of the maximal length: the end of speech is never detected.
pub fn without_end() -> GenerateOptions {
    GenerateOptions::default()
        .with_eos_threshold(f32::INFINITY)
        .with_seed(1)
}

/// A text of one segment that gives about 16.4 seconds of audio [without an end](without_end).
///
/// # Errors
///
/// The tokenizer fails.
pub fn long_text(parts: &ModelParts) -> Result<String> {
    sentence(parts, "So", LONG_TEXT_TOKENS)
}

/// A text of one sentence for each number of tokens, with at most so many tokens each.
///
/// # Errors
///
/// The tokenizer fails.
pub fn several_sentences(parts: &ModelParts, tokens: &[usize]) -> Result<String> {
    let openings = ["So", "Then", "Now", "And", "But", "Here"];
    let sentences: Result<Vec<_>> = tokens
        .iter()
        .zip(openings.iter().cycle())
        .map(|(&tokens, opening)| sentence(parts, opening, tokens))
        .collect();
    Ok(sentences?.join(" "))
}

/// A sentence of at most `tokens` tokens, and as close to it as whole words allow.
fn sentence(parts: &ModelParts, opening: &str, tokens: usize) -> Result<String> {
    let options = text_options(&parts.config);
    let words = [
        "the", "sun", "is", "on", "a", "hill", "and", "we", "go", "to", "it",
    ];
    let mut text = opening.to_owned();
    let mut rejected = 0;
    for word in words.iter().cycle() {
        let longer = format!("{text} {word}");
        let normalized = normalize(&longer, &options)?;
        if parts.tokenizer.encode(&normalized.text)?.len() <= tokens {
            text = longer;
            rejected = 0;
        } else {
            rejected += 1;
        }
        if rejected == words.len() {
            break;
        }
    }
    text.push('.');
    Ok(text)
}

fn text_options(config: &Config) -> TextOptions {
    TextOptions {
        pad_with_spaces_for_short_inputs: config.pad_with_spaces_for_short_inputs,
        remove_semicolons: config.remove_semicolons,
        append_terminal_punctuation: config.append_terminal_punctuation,
        capitalize_first_letter: config.capitalize_first_letter,
        replace_characters: config.replace_characters.clone(),
    }
}
