//! Sources of models, and the voice names of each.

mod error;
mod files;
mod locations;

#[cfg(feature = "builtin-voice")]
use std::path::Path;

use tts_core::text::Tokenizer;
use tts_core::{Config, ModelParts, Weights};

use crate::location::Location;
use crate::preset::{PREDEFINED_VOICES, Preset, voice_location};

pub use error::SourceError;
pub(crate) use error::{OpenError, chain};
pub(crate) use files::Files;
use locations::{ModelLocations, WeightsLocation};

/// The recording that a config file's model clones when the caller chooses no voice. The reference's
/// default voice was made from it, and the reference clones it too.
const DEFAULT_RECORDING: &str = "hf://kyutai/tts-voices/alba-mackenna/casual.wav";

/// The source of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The small English model inside the program.
    #[cfg(feature = "builtin-voice")]
    BuiltIn,
    /// A released model; downloaded on first use.
    Preset(&'static Preset),
    /// A model described by a config file.
    Config(Location),
}

/// A voice that a model offers by name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedVoice {
    /// The name.
    pub name: &'static str,
    /// The location of the voice file; `None` for a voice inside the program.
    pub location: Option<Location>,
}

impl ModelSource {
    /// Returns the name: `built-in`, a released model's name, or the location of the config file.
    pub fn name(&self) -> String {
        match self {
            #[cfg(feature = "builtin-voice")]
            Self::BuiltIn => "built-in".to_owned(),
            Self::Preset(preset) => preset.name.to_owned(),
            Self::Config(location) => location.to_string(),
        }
    }

    /// Returns the voices that the model offers by name. A config file's model offers none: the
    /// predefined voices fit only the weights of the released models.
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

    /// Returns the default voice: a name from [`Self::voices`], or for a config file's model the
    /// location of a recording to clone.
    pub fn default_voice(&self) -> &'static str {
        match self {
            #[cfg(feature = "builtin-voice")]
            Self::BuiltIn => builtin_voice::VOICES[0].0,
            Self::Preset(preset) => preset.default_voice(),
            Self::Config(_) => DEFAULT_RECORDING,
        }
    }

    /// Returns the model's description for messages.
    pub(crate) fn title(&self) -> String {
        match self {
            #[cfg(feature = "builtin-voice")]
            Self::BuiltIn => "the built-in model".to_owned(),
            Self::Preset(preset) => format!("the released model {:?}", preset.name),
            Self::Config(location) => format!("the model of {location}"),
        }
    }

    /// Reads the config and opens the model's files.
    pub(crate) fn open(&self, files: &Files) -> Result<ModelParts, OpenError> {
        let (config, locations) = match self {
            #[cfg(feature = "builtin-voice")]
            Self::BuiltIn => return Ok(built_in()?),
            Self::Preset(preset) => {
                let config = preset.config();
                let locations = ModelLocations::of(&config, preset.name)?;
                (config, locations)
            }
            Self::Config(location) => {
                let path = files.resolve(location)?;
                let config = Config::read(&path)?;
                let locations = ModelLocations::of(&config, path)?;
                (config, locations)
            }
        };
        let path = files.resolve(&locations.tokenizer)?;
        let bytes = std::fs::read(&path).map_err(|source| SourceError::LocalFile {
            path: path.clone(),
            source,
        })?;
        let tokenizer = Tokenizer::from_bytes(locations.tokenizer_format, &bytes, &path)
            .map_err(tts_core::Error::from)?;
        let weights = locations.weights.ok_or_else(|| SourceError::NoWeights {
            model: self.title(),
        })?;
        let (weights, no_voice_cloning) = open_weights(&weights, files)?;
        Ok(ModelParts {
            config,
            weights,
            tokenizer: tokenizer.into(),
            no_voice_cloning,
        })
    }
}

/// Opens the weights. If only the weights without a voice encoder are available, also returns why.
fn open_weights(
    location: &WeightsLocation,
    files: &Files,
) -> Result<(Weights, Option<String>), OpenError> {
    let (whole, open, mimi) = match location {
        WeightsLocation::Split { flow_lm, mimi } => {
            let weights =
                Weights::open_components(&files.resolve(flow_lm)?, &files.resolve(mimi)?)?;
            return Ok((weights, None));
        }
        WeightsLocation::Whole {
            whole,
            without_voice_cloning,
            mimi,
        } => (whole, without_voice_cloning, mimi),
    };
    let (path, no_voice_cloning) = match (files.resolve(whole), open) {
        (Ok(path), _) => (path, None),
        (Err(denied), Some(open)) => {
            let denied = chain(&denied);
            tracing::info!("using the weights without voice cloning: {denied}");
            let reason = format!("the weights with a voice encoder are not available: {denied}");
            (files.resolve(open)?, Some(reason))
        }
        (Err(denied), None) => return Err(denied),
    };
    let weights = match mimi {
        Some(mimi) => Weights::open_with_mimi(&path, &files.resolve(mimi)?)?,
        None => Weights::open(&path)?,
    };
    Ok((weights, no_voice_cloning))
}

#[cfg(feature = "builtin-voice")]
fn built_in() -> tts_core::Result<ModelParts> {
    let config = Config::parse(builtin_voice::CONFIG, Path::new("the built-in config"))?;
    Ok(ModelParts {
        weights: Weights::from_static(builtin_voice::WEIGHTS, Path::new("the built-in weights"))?,
        tokenizer: Tokenizer::from_bytes(
            config.flow_lm.lookup_table.tokenizer,
            builtin_voice::TOKENIZER,
            Path::new("the built-in tokenizer"),
        )?
        .into(),
        config,
        no_voice_cloning: None,
    })
}
