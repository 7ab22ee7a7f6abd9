//! The released models: their names, configs, files and voices.

mod shapes;
mod voices;

use std::collections::BTreeMap;

use shapes::Shape;
use tts_core::Config;
use tts_core::config::{
    DEFAULT_EOS_THRESHOLD, DEFAULT_TEMPERATURE, Dtype, FlowLmConfig, LookupTableConfig, nearest,
};
use tts_core::text::TokenizerFormat;

use crate::location::Location;

pub use voices::{PREDEFINED_VOICES, predefined_voice, voice_location};

/// Repository of the models with voice encoders; access to its files requires consent.
const GATED_REPOSITORY: &str = "kyutai/pocket-tts";
/// Public repository of the models without voice encoders, and of tokenizers and voices.
const OPEN_REPOSITORY: &str = "kyutai/pocket-tts-without-voice-cloning";

/// Vocabulary size of every released model.
const VOCABULARY: usize = 4000;

/// No released model or predefined voice has the given name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no {kind} is named {name:?}{}; the names are: {}",
    nearest.as_ref().map(|name| format!(", did you mean {name:?}?")).unwrap_or_default(),
    known.join(", "),
)]
#[non_exhaustive]
pub struct UnknownName {
    /// `released model` or `predefined voice`.
    pub kind: &'static str,
    /// The given name.
    pub name: String,
    /// The known name with the most similar spelling.
    pub nearest: Option<String>,
    /// All known names.
    pub known: Vec<&'static str>,
}

impl UnknownName {
    fn new(kind: &'static str, name: &str, known: Vec<&'static str>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            nearest: nearest(name, known.iter().copied()),
            known,
        }
    }
}

/// A released model.
///
/// ```
/// use pocket_tts::Preset;
/// let preset = Preset::named("french")?;
/// assert_eq!(preset.default_voice(), "estelle");
/// assert_eq!(preset.config().mimi.sample_rate, 24_000);
/// assert_eq!(Preset::named("frensh").unwrap_err().to_string().split(';').next().unwrap(),
///     "no released model is named \"frensh\", did you mean \"french\"?");
/// # Ok::<(), pocket_tts::UnknownName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The name: a language, with a suffix except for the language's main model.
    pub name: &'static str,
    shape: Shape,
    text: TextRules,
    tokenizer: Tokenizer,
    /// Revision of the weights in [`GATED_REPOSITORY`].
    weights: &'static str,
    /// Revision of the weights in [`OPEN_REPOSITORY`].
    open_weights: &'static str,
}

/// Location of a model's tokenizer in [`OPEN_REPOSITORY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tokenizer {
    folder: Folder,
    revision: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folder {
    Root,
    /// The folder of the model itself.
    Own,
    /// The folder of another model.
    Of(&'static str),
}

/// A model's text normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextRules {
    /// Typographic apostrophes become straight.
    Apostrophes,
    /// As [`Self::Apostrophes`], and short texts are padded.
    ApostrophesAndPadding,
    /// As [`Self::Apostrophes`], and dashes become commas.
    ApostrophesAndDashes,
    /// Quotes and brackets are removed, the dash becomes a comma, and these characters are replaced.
    NoQuotes(&'static [(char, &'static str)]),
    /// As [`Self::NoQuotes`], and semicolons become commas.
    NoQuotesNoSemicolons(&'static [(char, &'static str)]),
}

impl TextRules {
    fn replacements(self) -> BTreeMap<char, String> {
        const APOSTROPHES: &[(char, &str)] = &[('’', "'"), ('‘', "'")];
        const DASHES: &[(char, &str)] = &[('–', ","), ('—', ",")];
        const QUOTES: &[(char, &str)] = &[
            ('"', ""),
            ('“', ""),
            ('”', ""),
            ('„', ""),
            ('«', ""),
            ('»', ""),
            ('(', ""),
            (')', ""),
            ('[', ""),
            (']', ""),
            ('–', ","),
        ];
        let additional = match self {
            Self::Apostrophes | Self::ApostrophesAndPadding => &[][..],
            Self::ApostrophesAndDashes => DASHES,
            Self::NoQuotes(own) | Self::NoQuotesNoSemicolons(own) => own,
        };
        let quotes = match self {
            Self::NoQuotes(_) | Self::NoQuotesNoSemicolons(_) => QUOTES,
            _ => &[],
        };
        [APOSTROPHES, quotes, additional]
            .concat()
            .into_iter()
            .map(|(from, to)| (from, to.to_owned()))
            .collect()
    }
}

impl Preset {
    /// Returns all released models, sorted by name.
    pub const fn all() -> &'static [Self] {
        &PRESETS
    }

    /// Returns the released model of that name.
    ///
    /// # Errors
    ///
    /// No released model has that name.
    pub fn named(name: &str) -> Result<&'static Self, UnknownName> {
        PRESETS
            .iter()
            .find(|preset| preset.name == name)
            .ok_or_else(|| {
                let known = PRESETS.iter().map(|preset| preset.name).collect();
                UnknownName::new("released model", name, known)
            })
    }

    /// Returns the model's language, such as `english`.
    pub fn language(&self) -> &'static str {
        self.name.split('_').next().unwrap_or(self.name)
    }

    /// Returns the name of the default voice.
    pub fn default_voice(&self) -> &'static str {
        match self.language() {
            "dutch" => "daan",
            "french" => "estelle",
            "german" => "juergen",
            "italian" => "giovanni",
            "portuguese" => "rafael",
            "spanish" => "lola",
            _ => "alba",
        }
    }

    /// Returns the locations of the weights with and without a voice encoder.
    pub fn weights(&self) -> [Location; 2] {
        [
            (GATED_REPOSITORY, self.weights),
            (OPEN_REPOSITORY, self.open_weights),
        ]
        .map(|(repo, revision)| hub(repo, self.folder() + "model.safetensors", revision))
    }

    /// The model's folder in both repositories.
    fn folder(&self) -> String {
        format!("languages/{}/", self.name)
    }

    /// Returns the model's config.
    pub fn config(&self) -> Config {
        let [weights, open_weights] = self.weights();
        let (tokenizer, tokenizer_file) = match self.shape.tokenizer() {
            TokenizerFormat::SentencePiece => (TokenizerFormat::SentencePiece, "tokenizer.model"),
            TokenizerFormat::Tokenizers => (TokenizerFormat::Tokenizers, "tokenizer.json"),
        };
        let tokenizer_folder = match self.tokenizer.folder {
            Folder::Root => String::new(),
            Folder::Own => self.folder(),
            Folder::Of(name) => format!("languages/{name}/"),
        };
        let transformer = self.shape.flow_lm_transformer();
        Config {
            flow_lm: FlowLmConfig {
                dtype: Dtype::Float32,
                flow: self.shape.flow(),
                z_dim: self.shape.z_dim(),
                lookup_table: LookupTableConfig {
                    dim: transformer.d_model,
                    n_bins: VOCABULARY,
                    tokenizer,
                    tokenizer_path: hub(
                        OPEN_REPOSITORY,
                        format!("{tokenizer_folder}{tokenizer_file}"),
                        self.tokenizer.revision,
                    )
                    .to_string(),
                    rank: self.shape.rank(),
                },
                transformer,
                weights_path: None,
                insert_bos_before_voice: self.shape != Shape::First,
            },
            mimi: self.shape.mimi(),
            weights_path: Some(weights.to_string()),
            weights_path_without_voice_cloning: Some(open_weights.to_string()),
            pad_with_spaces_for_short_inputs: self.text == TextRules::ApostrophesAndPadding,
            remove_semicolons: matches!(self.text, TextRules::NoQuotesNoSemicolons(_)),
            append_terminal_punctuation: true,
            capitalize_first_letter: true,
            replace_characters: self.text.replacements(),
            model_recommended_frames_after_eos: None,
            default_temperature: DEFAULT_TEMPERATURE,
            default_eos_threshold: self.shape.eos_threshold().unwrap_or(DEFAULT_EOS_THRESHOLD),
        }
    }
}

fn hub(repo: &str, file: String, revision: &str) -> Location {
    Location::Hub {
        repo: repo.to_owned(),
        file,
        revision: Some(revision.to_owned()),
    }
}

const FRENCH: TextRules = TextRules::NoQuotesNoSemicolons(&[(':', ",")]);
const GERMAN: TextRules = TextRules::NoQuotesNoSemicolons(&[('—', ",")]);
const SPANISH: TextRules = TextRules::NoQuotes(&[('¡', ""), ('¿', "")]);
const OTHERS: TextRules = TextRules::NoQuotes(&[]);

const fn own(revision: &'static str) -> Tokenizer {
    Tokenizer {
        folder: Folder::Own,
        revision,
    }
}

const fn of(name: &'static str, revision: &'static str) -> Tokenizer {
    Tokenizer {
        folder: Folder::Of(name),
        revision,
    }
}

/// Names, paths and revisions from the configs of the reference (`pocket-tts` 4.0.1).
const PRESETS: [Preset; 27] = [
    Preset {
        name: "dutch",
        shape: Shape::Base,
        text: OTHERS,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "3e82814a68665eec246ff649b14c71331f955c06",
        open_weights: "1e08e6a23401048648a9fdcfde2f89348215c2a7",
    },
    Preset {
        name: "dutch_24l",
        shape: Shape::Large,
        text: OTHERS,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "2dd944b099d06bb9edbd221fef138685711d9bf0",
        open_weights: "4e1e0a3e611c51c0b4ed8174fc10f32a54644303",
    },
    Preset {
        name: "english",
        shape: Shape::Base,
        text: TextRules::Apostrophes,
        tokenizer: own("00eac05ed3d16bdc3f6b5d598874019c34a89214"),
        weights: "db04f0e653473e5c7333c69686ac92b7460b0c1d",
        open_weights: "a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
    },
    Preset {
        name: "english_18m_2026-10",
        shape: Shape::English18M,
        text: TextRules::ApostrophesAndDashes,
        tokenizer: own("08ffc58775e62aad9409511b9591c9af626270f3"),
        weights: "db04f0e653473e5c7333c69686ac92b7460b0c1d",
        open_weights: "a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
    },
    Preset {
        name: "english_18m_refl_2026-10",
        shape: Shape::English18M,
        text: TextRules::ApostrophesAndDashes,
        tokenizer: own("08ffc58775e62aad9409511b9591c9af626270f3"),
        weights: "db04f0e653473e5c7333c69686ac92b7460b0c1d",
        open_weights: "a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
    },
    Preset {
        name: "english_2026-01",
        shape: Shape::First,
        text: TextRules::ApostrophesAndPadding,
        tokenizer: Tokenizer {
            folder: Folder::Root,
            revision: "00eac05ed3d16bdc3f6b5d598874019c34a89214",
        },
        weights: "39592ff23c9ef80098bb74895d104c26275fe2c9",
        open_weights: "d29db7978e464fb90cb3359ee0c69a273b9142cc",
    },
    Preset {
        name: "english_2026-04",
        shape: Shape::Base,
        text: TextRules::Apostrophes,
        tokenizer: own("00eac05ed3d16bdc3f6b5d598874019c34a89214"),
        weights: "19f95fe2df36e79fbd9f10008595cc4c977a0fcc",
        open_weights: "d29db7978e464fb90cb3359ee0c69a273b9142cc",
    },
    Preset {
        name: "english_2026-04_24l",
        shape: Shape::Large,
        text: TextRules::Apostrophes,
        tokenizer: own("00eac05ed3d16bdc3f6b5d598874019c34a89214"),
        weights: "492522650173a0653b7575cdc25ae09810e5d741",
        open_weights: "e81d79e8194ad4c7ce879c87a4258ef20cbf2487",
    },
    Preset {
        name: "english_2026-09",
        shape: Shape::Base,
        text: TextRules::Apostrophes,
        tokenizer: own("00eac05ed3d16bdc3f6b5d598874019c34a89214"),
        weights: "983151f13aaeab1b13c1e5e3c2c383d49a9edf3f",
        open_weights: "e7205b6ee50e654a5ea19f0e9df2b0813b05e921",
    },
    Preset {
        name: "english_2026-09_2",
        shape: Shape::Base,
        text: TextRules::Apostrophes,
        tokenizer: of(
            "english_2026-09",
            "00eac05ed3d16bdc3f6b5d598874019c34a89214",
        ),
        weights: "7f364c05d1be3faf2b234cdbe4cbb68a026d4218",
        open_weights: "575d14372df89a4534bcb989870a34e77544b09f",
    },
    Preset {
        name: "english_2026-09_24l",
        shape: Shape::Large,
        text: TextRules::Apostrophes,
        tokenizer: own("00eac05ed3d16bdc3f6b5d598874019c34a89214"),
        weights: "983151f13aaeab1b13c1e5e3c2c383d49a9edf3f",
        open_weights: "e7205b6ee50e654a5ea19f0e9df2b0813b05e921",
    },
    Preset {
        name: "english_2026-10",
        shape: Shape::Base,
        text: TextRules::Apostrophes,
        tokenizer: of(
            "english_2026-09",
            "00eac05ed3d16bdc3f6b5d598874019c34a89214",
        ),
        weights: "db04f0e653473e5c7333c69686ac92b7460b0c1d",
        open_weights: "a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
    },
    Preset {
        name: "english_2m_2026-10",
        shape: Shape::English2M,
        text: TextRules::ApostrophesAndDashes,
        tokenizer: own("08ffc58775e62aad9409511b9591c9af626270f3"),
        weights: "db04f0e653473e5c7333c69686ac92b7460b0c1d",
        open_weights: "a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
    },
    Preset {
        name: "english_2m_refl_2026-10",
        shape: Shape::English2M,
        text: TextRules::ApostrophesAndDashes,
        tokenizer: own("08ffc58775e62aad9409511b9591c9af626270f3"),
        weights: "db04f0e653473e5c7333c69686ac92b7460b0c1d",
        open_weights: "a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
    },
    Preset {
        name: "english_7m_2026-10",
        shape: Shape::English7M,
        text: TextRules::ApostrophesAndDashes,
        tokenizer: own("08ffc58775e62aad9409511b9591c9af626270f3"),
        weights: "db04f0e653473e5c7333c69686ac92b7460b0c1d",
        open_weights: "a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
    },
    Preset {
        name: "english_7m_refl_2026-10",
        shape: Shape::English7M,
        text: TextRules::ApostrophesAndDashes,
        tokenizer: own("08ffc58775e62aad9409511b9591c9af626270f3"),
        weights: "db04f0e653473e5c7333c69686ac92b7460b0c1d",
        open_weights: "a7056f505a4a8ca72d8b5fb1440071d6f1a35739",
    },
    Preset {
        name: "english_drifting_26-09",
        shape: Shape::Drifting,
        text: TextRules::Apostrophes,
        tokenizer: of(
            "english_2026-09",
            "00eac05ed3d16bdc3f6b5d598874019c34a89214",
        ),
        weights: "75cfe24e3142233bb81887fed3482e9652bb4a6e",
        open_weights: "a5ce31f3eba7a3b0cb9c24ba2015b098f278eaae",
    },
    Preset {
        name: "french",
        shape: Shape::Base,
        text: FRENCH,
        tokenizer: own("8843db76457a91db32077edf8dfcd1c0e3e755fd"),
        weights: "3e82814a68665eec246ff649b14c71331f955c06",
        open_weights: "1e08e6a23401048648a9fdcfde2f89348215c2a7",
    },
    Preset {
        name: "french_24l",
        shape: Shape::Large,
        text: FRENCH,
        tokenizer: own("8843db76457a91db32077edf8dfcd1c0e3e755fd"),
        weights: "3e82814a68665eec246ff649b14c71331f955c06",
        open_weights: "1e08e6a23401048648a9fdcfde2f89348215c2a7",
    },
    Preset {
        name: "german",
        shape: Shape::Base,
        text: GERMAN,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "3e82814a68665eec246ff649b14c71331f955c06",
        open_weights: "1e08e6a23401048648a9fdcfde2f89348215c2a7",
    },
    Preset {
        name: "german_24l",
        shape: Shape::Large,
        text: GERMAN,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "2dd944b099d06bb9edbd221fef138685711d9bf0",
        open_weights: "4e1e0a3e611c51c0b4ed8174fc10f32a54644303",
    },
    Preset {
        name: "italian",
        shape: Shape::Base,
        text: OTHERS,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "3e82814a68665eec246ff649b14c71331f955c06",
        open_weights: "1e08e6a23401048648a9fdcfde2f89348215c2a7",
    },
    Preset {
        name: "italian_24l",
        shape: Shape::Large,
        text: OTHERS,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "3e82814a68665eec246ff649b14c71331f955c06",
        open_weights: "1e08e6a23401048648a9fdcfde2f89348215c2a7",
    },
    Preset {
        name: "portuguese",
        shape: Shape::Base,
        text: OTHERS,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "3e82814a68665eec246ff649b14c71331f955c06",
        open_weights: "1e08e6a23401048648a9fdcfde2f89348215c2a7",
    },
    Preset {
        name: "portuguese_24l",
        shape: Shape::Large,
        text: OTHERS,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "2dd944b099d06bb9edbd221fef138685711d9bf0",
        open_weights: "4e1e0a3e611c51c0b4ed8174fc10f32a54644303",
    },
    Preset {
        name: "spanish",
        shape: Shape::Base,
        text: SPANISH,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "3e82814a68665eec246ff649b14c71331f955c06",
        open_weights: "1e08e6a23401048648a9fdcfde2f89348215c2a7",
    },
    Preset {
        name: "spanish_24l",
        shape: Shape::Large,
        text: SPANISH,
        tokenizer: own("4e1e0a3e611c51c0b4ed8174fc10f32a54644303"),
        weights: "2dd944b099d06bb9edbd221fef138685711d9bf0",
        open_weights: "4e1e0a3e611c51c0b4ed8174fc10f32a54644303",
    },
];
