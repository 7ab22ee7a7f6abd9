//! The locations of a model's files, parsed from its config.

use std::path::Path;

use tts_core::Config;
use tts_core::text::TokenizerFormat;

use super::error::{OpenError, SourceError};
use crate::location::Location;

/// The locations of a model's files.
pub(super) struct ModelLocations {
    pub(super) tokenizer: Location,
    pub(super) tokenizer_format: TokenizerFormat,
    /// `None` if the config names no weights.
    pub(super) weights: Option<WeightsLocation>,
}

/// The location of a model's weights.
pub(super) enum WeightsLocation {
    /// One file with all weights.
    Whole {
        whole: Location,
        /// A file without the voice encoder, for when `whole` is not available.
        without_voice_cloning: Option<Location>,
        /// A file that replaces Mimi's weights.
        mimi: Option<Location>,
    },
    /// Separate files for FlowLM and Mimi.
    Split { flow_lm: Location, mimi: Location },
}

impl ModelLocations {
    /// Parses the locations of the config file `file`; relative paths are relative to its folder.
    ///
    /// # Errors
    ///
    /// A text is not a valid location; the first such text is reported.
    pub(super) fn of(config: &Config, file: impl AsRef<Path>) -> Result<Self, OpenError> {
        let file = file.as_ref();
        let folder = file.parent().unwrap_or(Path::new(""));
        let parse = |key, text: &str| {
            Location::parse(text, folder).map_err(|error| SourceError::ConfigLocation {
                file: file.to_owned(),
                key,
                source: error,
            })
        };
        let parse_optional =
            |key, text: &Option<String>| text.as_deref().map(|text| parse(key, text)).transpose();
        let table = &config.flow_lm.lookup_table;
        let tokenizer = parse("flow_lm.lookup_table.tokenizer_path", &table.tokenizer_path)?;
        // As in the reference, the extension takes precedence over the config's `tokenizer`.
        let tokenizer_format = match tokenizer.extension() {
            Some("json") => TokenizerFormat::Tokenizers,
            _ => table.tokenizer,
        };
        let flow_lm = parse_optional("flow_lm.weights_path", &config.flow_lm.weights_path)?;
        let mimi = parse_optional("mimi.weights_path", &config.mimi.weights_path)?;
        let without_voice_cloning = parse_optional(
            "weights_path_without_voice_cloning",
            &config.weights_path_without_voice_cloning,
        )?;
        let weights = match parse_optional("weights_path", &config.weights_path)? {
            Some(whole) => Some(WeightsLocation::Whole {
                whole,
                without_voice_cloning,
                mimi,
            }),
            None => flow_lm
                .zip(mimi)
                .map(|(flow_lm, mimi)| WeightsLocation::Split { flow_lm, mimi }),
        };
        Ok(Self {
            tokenizer,
            tokenizer_format,
            weights,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locations(change: impl FnOnce(&mut Config)) -> Result<ModelLocations, OpenError> {
        let preset = crate::preset::Preset::named("english").unwrap();
        let mut config = preset.config();
        change(&mut config);
        ModelLocations::of(&config, "/models/my.yaml")
    }

    #[test]
    fn a_json_tokenizer_overrides_the_configured_format() {
        let format = |configured, path: &str| {
            let locations = locations(|config| {
                config.flow_lm.lookup_table.tokenizer = configured;
                config.flow_lm.lookup_table.tokenizer_path = path.to_owned();
            });
            locations.unwrap().tokenizer_format
        };
        for (configured, path, expected) in [
            (
                TokenizerFormat::SentencePiece,
                "a.model",
                TokenizerFormat::SentencePiece,
            ),
            (
                TokenizerFormat::Tokenizers,
                "a.model",
                TokenizerFormat::Tokenizers,
            ),
            (
                TokenizerFormat::SentencePiece,
                "a.json",
                TokenizerFormat::Tokenizers,
            ),
            (
                TokenizerFormat::SentencePiece,
                "hf://a/b/c.json@v1",
                TokenizerFormat::Tokenizers,
            ),
            (
                TokenizerFormat::SentencePiece,
                "https://a/b.json?download=true",
                TokenizerFormat::Tokenizers,
            ),
        ] {
            assert_eq!(format(configured, path), expected, "{configured:?} {path}");
        }
    }

    #[test]
    fn relative_paths_are_relative_to_the_config_file() {
        let locations = locations(|config| {
            config.flow_lm.lookup_table.tokenizer_path = "../tokenizer.json".to_owned();
        });
        let expected = Location::Local("/models/../tokenizer.json".into());
        assert_eq!(locations.unwrap().tokenizer, expected);
    }

    #[test]
    fn an_invalid_location_is_reported_with_file_and_key() {
        let error = locations(|config| config.weights_path = Some("s3://a/b".to_owned()));
        let error = error.err().expect("the location is rejected");
        let message = super::super::chain(&error);
        assert!(
            message.starts_with("/models/my.yaml: `weights_path` is not a valid location"),
            "{message}"
        );
        assert!(
            message.contains("\"s3://a/b\"") && message.contains("its scheme is not supported"),
            "{message}"
        );
    }
}
