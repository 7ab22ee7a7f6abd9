//! Where a model comes from, and the voices that it knows by name.

mod error;

#[cfg(feature = "builtin-voice")]
use std::path::Path;

use tts_core::config::{Location, PREDEFINED_VOICES, Preset, voice_location};
use tts_core::text::Tokenizer;
use tts_core::{Config, ModelParts, Weights};

use crate::error::{Result, chain};
use crate::files::Files;

pub use error::SourceError;

/// The recording that a model without voices of its own clones when no voice is named: the one behind
/// the reference's default voice, which the reference clones too.
const RECORDING_FOR_OTHER_MODELS: &str = "hf://kyutai/tts-voices/alba-mackenna/casual.wav";

/// Which model to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The small English model that is part of the program.
    #[cfg(feature = "builtin-voice")]
    BuiltIn,
    /// A released model; downloaded on first use.
    Preset(&'static Preset),
    /// A model described by a config file.
    Config(Location),
}

/// A voice that a model knows by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVoice {
    /// Its name.
    pub name: &'static str,
    /// Where its state lies; `None` when it is part of the program.
    pub location: Option<Location>,
}

impl ModelSource {
    /// Its name: `built-in`, a released model's, or where the config file lies.
    pub fn name(&self) -> String {
        match self {
            #[cfg(feature = "builtin-voice")]
            Self::BuiltIn => "built-in".to_owned(),
            Self::Preset(preset) => preset.name.to_owned(),
            Self::Config(location) => location.to_string(),
        }
    }

    /// The voices that it knows by name. A config file's model knows none: the predefined ones were
    /// made for the weights of the released models.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// use pocket_tts::ModelSource;
    /// let source = ModelSource::BuiltIn;
    /// assert!(source.voices().iter().any(|voice| voice.name == source.default_voice()));
    /// # }
    /// ```
    pub fn voices(&self) -> Vec<NamedVoice> {
        match self {
            #[cfg(feature = "builtin-voice")]
            Self::BuiltIn => builtin_voice::VOICES
                .iter()
                .map(|&(name, _)| NamedVoice {
                    name,
                    location: None,
                })
                .collect(),
            Self::Preset(preset) => PREDEFINED_VOICES
                .into_iter()
                .map(|name| NamedVoice {
                    name,
                    location: voice_location(preset, name).ok(),
                })
                .collect(),
            Self::Config(_) => Vec::new(),
        }
    }

    /// The voice used when none is named: the name of one of [`Self::voices`], or for a config file's
    /// model the address of a recording to clone.
    pub fn default_voice(&self) -> &'static str {
        match self {
            #[cfg(feature = "builtin-voice")]
            Self::BuiltIn => builtin_voice::VOICES[0].0,
            Self::Preset(preset) => preset.default_voice(),
            Self::Config(_) => RECORDING_FOR_OTHER_MODELS,
        }
    }

    /// What messages call it.
    pub(crate) fn title(&self) -> String {
        match self {
            #[cfg(feature = "builtin-voice")]
            Self::BuiltIn => "the built-in model".to_owned(),
            Self::Preset(preset) => format!("the released model {:?}", preset.name),
            Self::Config(location) => format!("the model of {location}"),
        }
    }

    /// Reads its config and opens its files.
    pub(crate) fn open(&self, files: &Files) -> Result<ModelParts> {
        let config = match self {
            #[cfg(feature = "builtin-voice")]
            Self::BuiltIn => return built_in(),
            Self::Preset(preset) => preset.config(),
            Self::Config(location) => Config::read(&files.resolve(location)?)?,
        };
        let table = &config.flow_lm.lookup_table;
        let path = files.resolve(&table.tokenizer_path)?;
        let bytes = std::fs::read(&path).map_err(|source| SourceError::LocalFile {
            path: path.clone(),
            source,
        })?;
        let tokenizer = Tokenizer::from_bytes(table.tokenizer, &bytes, &path)?;
        let (weights, no_voice_cloning) = self.open_weights(&config, files)?;
        Ok(ModelParts {
            config,
            weights,
            tokenizer,
            no_voice_cloning,
        })
    }

    /// Opens the weights; with the reason why they cannot clone voices, if the ones that can could not
    /// be had.
    fn open_weights(&self, config: &Config, files: &Files) -> Result<(Weights, Option<String>)> {
        let mimi = config.mimi.weights_path.as_ref();
        let Some(whole) = &config.weights_path else {
            let (Some(flow_lm), Some(mimi)) = (&config.flow_lm.weights_path, mimi) else {
                return Err(SourceError::NoWeights {
                    model: self.title(),
                }
                .into());
            };
            let weights = Weights::open_parts(&files.resolve(flow_lm)?, &files.resolve(mimi)?)?;
            return Ok((weights, None));
        };
        let (path, no_voice_cloning) = match files.resolve(whole) {
            Ok(path) => (path, None),
            Err(denied) => {
                let Some(open) = &config.weights_path_without_voice_cloning else {
                    return Err(denied);
                };
                tracing::info!(
                    "using the weights without voice cloning: {}",
                    chain(&denied)
                );
                let reason = format!("the weights that can are not available: {}", chain(&denied));
                (files.resolve(open)?, Some(reason))
            }
        };
        let weights = match mimi {
            Some(mimi) => Weights::open_with_mimi(&path, &files.resolve(mimi)?)?,
            None => Weights::open(&path)?,
        };
        Ok((weights, no_voice_cloning))
    }
}

#[cfg(feature = "builtin-voice")]
fn built_in() -> Result<ModelParts> {
    let config = Config::parse(
        builtin_voice::CONFIG,
        Path::new("the built-in config"),
        Path::new(""),
    )?;
    Ok(ModelParts {
        weights: Weights::from_static(builtin_voice::WEIGHTS, Path::new("the built-in weights"))?,
        tokenizer: Tokenizer::from_bytes(
            config.flow_lm.lookup_table.tokenizer,
            builtin_voice::TOKENIZER,
            Path::new("the built-in tokenizer"),
        )?,
        config,
        no_voice_cloning: None,
    })
}
