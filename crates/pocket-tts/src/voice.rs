//! Voices of a model: by name, from voice files, and cloned from recordings.

use std::path::Path;

use tts_core::audio::PromptLength;
use tts_core::{Audio, Voice};

use crate::error::{Error, Result};
use crate::location::Location;
use crate::model::TtsModel;
use crate::preset::PREDEFINED_VOICES;
use crate::source::{ModelSource, SourceError};
use crate::voice_cache::VoiceKey;

impl TtsModel {
    /// Loads the default voice, see [`ModelSource::default_voice`]. For a config file's model, a
    /// recording is downloaded and cloned.
    ///
    /// # Errors
    ///
    /// The voice cannot be downloaded or cloned.
    pub fn default_voice(&self) -> Result<Voice> {
        let source = &self.shared.source;
        self.voice(source.default_voice())
            .map_err(|error| match source {
                ModelSource::Config(_) => Error::DefaultVoice {
                    model: source.title(),
                    source: Box::new(error),
                },
                _ => error,
            })
    }

    /// Loads a voice by name, loads a `.safetensors` voice file, or clones a recording (WAV, FLAC, MP3 or
    /// OGG). `spec` is a name or a [`Location`].
    ///
    /// Voices in the model's [cache](crate::LoadOptions::voice_cache_bytes) are shared, provided that the
    /// length and the modification time of the file are unchanged.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// # let model = pocket_tts::TtsModel::builtin()?;
    /// let voice = model.voice("slt")?;
    /// let error = model.voice("nobody").unwrap_err();
    /// assert!(error.to_string().starts_with("no voice is named \"nobody\""));
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The model has no such voice; a file is not available, damaged or made for another model; or the
    /// model cannot clone voices.
    pub fn voice(&self, spec: &str) -> Result<Voice> {
        self.find_voice(spec, PromptLength::Whole)
    }

    /// Loads a voice as [`Self::voice`] does, but clones only the first 30 seconds of a recording. The
    /// memory of a voice and the time of cloning are proportional to the length of the recording.
    ///
    /// # Errors
    ///
    /// As [`Self::voice`].
    pub fn voice_truncated(&self, spec: &str) -> Result<Voice> {
        self.find_voice(spec, PromptLength::Truncated)
    }

    /// Clones a voice from a recording.
    ///
    /// # Errors
    ///
    /// The recording is too short, or the model cannot clone voices.
    pub fn clone_voice(&self, recording: &Audio) -> Result<Voice> {
        Ok(self.model().clone_voice(recording)?)
    }

    /// Clones a voice from the first 30 seconds of a recording.
    ///
    /// # Errors
    ///
    /// As [`Self::clone_voice`].
    pub fn clone_voice_truncated(&self, recording: &Audio) -> Result<Voice> {
        Ok(self.model().clone_voice_truncated(recording)?)
    }

    /// Writes a voice to a `.safetensors` file. Loading it is much faster than cloning the recording.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn export_voice(&self, voice: &Voice, path: impl AsRef<Path>) -> Result<()> {
        Ok(self.model().export_voice(voice, path)?)
    }

    /// Drops the cached voices that are not in use, and returns their size. They are loaded again on
    /// next use.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// # let model = pocket_tts::TtsModel::builtin()?;
    /// let voice = model.voice("slt")?;
    /// assert_eq!(model.evict_voices(), 0);
    /// let bytes = voice.size_bytes();
    /// drop(voice);
    /// assert_eq!(model.evict_voices(), bytes);
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    pub fn evict_voices(&self) -> u64 {
        self.shared.voices.evict()
    }

    fn find_voice(&self, spec: &str, length: PromptLength) -> Result<Voice> {
        if let Some(voice) = self.known_voice(spec)? {
            return Ok(voice);
        }
        let location = Location::parse(spec, "")?;
        if let Location::Local(path) = &location
            && !path.exists()
            && !looks_like_a_path(spec)
        {
            return Err(self.unknown_voice(spec).into());
        }
        // As in the reference, the extension decides whether a file is a voice file or a recording.
        if location.extension() == Some("safetensors") {
            return self.stored_voice(&location);
        }
        // Checked first, because the download of a recording would be useless.
        if let Some(reason) = self.model().no_voice_cloning() {
            let error = tts_core::VoiceError::NoEncoder(reason.to_owned());
            return Err(tts_core::Error::from(error).into());
        }
        let path = self.shared.files.resolve(&location)?;
        let key = VoiceKey::file(&path, length);
        self.shared.voices.get(key, || {
            let recording = Audio::read(&path)?;
            match length {
                PromptLength::Whole => self.clone_voice(&recording),
                PromptLength::Truncated => self.clone_voice_truncated(&recording),
            }
        })
    }

    /// Loads a `.safetensors` voice file.
    fn stored_voice(&self, location: &Location) -> Result<Voice> {
        let path = self.shared.files.resolve(location)?;
        let key = VoiceKey::file(&path, PromptLength::Whole);
        self.shared
            .voices
            .get(key, || Ok(self.model().load_voice(&path)?))
    }

    /// Loads a voice by name. Names take precedence over files, as in the reference.
    fn known_voice(&self, name: &str) -> Result<Option<Voice>> {
        let source = &self.shared.source;
        let Some(known) = source.voices().into_iter().find(|voice| voice.name == name) else {
            if PREDEFINED_VOICES.contains(&name) {
                return Err(SourceError::VoiceOfReleasedModels {
                    name: name.to_owned(),
                    model: source.title(),
                    known: self.known_names(),
                }
                .into());
            }
            return Ok(None);
        };
        match known.location {
            Some(location) => self.stored_voice(&location).map(Some),
            #[cfg(feature = "builtin-voice")]
            None => builtin_voice::VOICES
                .iter()
                .find(|(voice, _)| *voice == name)
                .map(|(voice, state)| {
                    self.shared.voices.get(Some(VoiceKey::built_in(voice)), || {
                        let title = format!("the built-in voice {voice}");
                        Ok(self.model().voice_from_static(state, Path::new(&title))?)
                    })
                })
                .transpose(),
            #[cfg(not(feature = "builtin-voice"))]
            None => Ok(None),
        }
    }

    fn unknown_voice(&self, name: &str) -> SourceError {
        SourceError::UnknownVoice {
            name: name.to_owned(),
            model: self.shared.source.title(),
            known: self.known_names(),
        }
    }

    fn known_names(&self) -> Vec<String> {
        let voices = self.shared.source.voices();
        voices.iter().map(|voice| voice.name.to_owned()).collect()
    }
}

/// Whether the text is more likely a path than a voice name.
fn looks_like_a_path(spec: &str) -> bool {
    spec.contains(['/', '\\', '.'])
}
