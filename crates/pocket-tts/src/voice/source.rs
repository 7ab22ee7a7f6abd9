//! The source of a voice: inside the program, a voice file, or a recording.

use std::path::PathBuf;

use crate::error::Result;
use crate::location::Location;
use crate::preset::PREDEFINED_VOICES;
use crate::source::{Files, ModelSource, SourceError};

/// The source of a voice. Its file is local.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VoiceSource {
    /// A voice inside the program: its name and the bytes of its file.
    #[cfg(feature = "builtin-voice")]
    BuiltIn(&'static str, &'static [u8]),
    /// A `.safetensors` voice file.
    File(PathBuf),
    /// A recording to clone.
    Recording(PathBuf),
}

impl VoiceSource {
    /// Finds a voice by name or [`Location`], and downloads its file if necessary. `no_voice_cloning` is
    /// the reason why recordings cannot be cloned.
    pub(crate) fn find(
        spec: &str,
        model: &ModelSource,
        files: &Files,
        no_voice_cloning: Option<&str>,
    ) -> Result<Self> {
        if let Some(named) = Self::named(spec, model, files)? {
            return Ok(named);
        }
        let location = Location::parse(spec, "")?;
        if let Location::Local(path) = &location
            && !path.exists()
            && !looks_like_a_path(spec)
        {
            return Err(SourceError::UnknownVoice {
                name: spec.to_owned(),
                model: model.title(),
                known: known_names(model),
            }
            .into());
        }
        // As in the reference, the extension decides whether a file is a voice file or a recording.
        if location.extension() == Some("safetensors") {
            return Ok(Self::File(files.resolve(&location)?));
        }
        // Checked first, because the download of a recording would be useless.
        if let Some(reason) = no_voice_cloning {
            let error = tts_core::VoiceError::NoEncoder(reason.to_owned());
            return Err(tts_core::Error::from(error).into());
        }
        Ok(Self::Recording(files.resolve(&location)?))
    }

    /// Finds a voice by name. Names take precedence over files, as in the reference.
    fn named(name: &str, model: &ModelSource, files: &Files) -> Result<Option<Self>> {
        let Some(known) = model.voices().into_iter().find(|voice| voice.name == name) else {
            if PREDEFINED_VOICES.contains(&name) {
                return Err(SourceError::VoiceOfReleasedModels {
                    name: name.to_owned(),
                    model: model.title(),
                    known: known_names(model),
                }
                .into());
            }
            return Ok(None);
        };
        match known.location {
            Some(location) => Ok(Some(Self::File(files.resolve(&location)?))),
            #[cfg(feature = "builtin-voice")]
            None => Ok(builtin_voice::VOICES
                .iter()
                .find(|(voice, _)| *voice == name)
                .map(|(voice, state)| Self::BuiltIn(voice, state))),
            #[cfg(not(feature = "builtin-voice"))]
            None => Ok(None),
        }
    }
}

fn known_names(model: &ModelSource) -> Vec<String> {
    let voices = model.voices();
    voices.iter().map(|voice| voice.name.to_owned()).collect()
}

/// Whether the text is more likely a path than a voice name.
fn looks_like_a_path(spec: &str) -> bool {
    spec.contains(['/', '\\', '.'])
}
