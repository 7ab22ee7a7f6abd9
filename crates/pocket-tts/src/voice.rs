//! Voices of a model: by name, from voice files, and cloned from recordings.

mod source;

use std::path::Path;

use tts_core::audio::PromptLength;
use tts_core::{Audio, Voice, VoiceOptions};

use crate::error::{Error, Result};
use crate::memory::context_limit_bytes;
use crate::model::TtsModel;
use crate::voice_cache::VoiceKey;

pub(crate) use source::VoiceSource;

impl TtsModel {
    /// Loads the default voice, see [`ModelSource::default_voice`](crate::ModelSource::default_voice).
    /// For a config file's model, a recording is downloaded and cloned.
    ///
    /// # Errors
    ///
    /// The voice cannot be downloaded or cloned.
    pub fn default_voice(&self) -> Result<Voice> {
        let source = &self.shared.source;
        self.voice(source.default_voice())
            .map_err(|error| Error::of_default_voice(source, error))
    }

    /// Loads a voice by name, loads a `.safetensors` voice file, or clones a recording (WAV, FLAC, MP3 or
    /// OGG). `spec` is a name or a [`Location`](crate::Location).
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
        self.voice_with(spec, &VoiceOptions::default())
    }

    /// Loads a voice as [`Self::voice`] does, but clones only the first 30 seconds of a recording. The
    /// memory of a voice and the time of cloning are proportional to the length of the recording.
    ///
    /// # Errors
    ///
    /// As [`Self::voice`].
    pub fn voice_truncated(&self, spec: &str) -> Result<Voice> {
        let options = VoiceOptions::default().with_length(PromptLength::Truncated);
        self.voice_with(spec, &options)
    }

    /// Loads a voice as [`Self::voice`] does, with options: how much of a recording is cloned, a memory
    /// limit, and a token that cancels the work.
    ///
    /// # Errors
    ///
    /// As [`Self::voice`], or the work was cancelled.
    pub fn voice_with(&self, spec: &str, options: &VoiceOptions) -> Result<Voice> {
        self.find_voice(spec, &within_context(options))
    }

    /// Clones a voice from a recording.
    ///
    /// # Errors
    ///
    /// The recording is too short, or the model cannot clone voices.
    pub fn clone_voice(&self, recording: &Audio) -> Result<Voice> {
        self.clone_voice_with(recording, &VoiceOptions::default())
    }

    /// Clones a voice from the first 30 seconds of a recording.
    ///
    /// # Errors
    ///
    /// As [`Self::clone_voice`].
    pub fn clone_voice_truncated(&self, recording: &Audio) -> Result<Voice> {
        let options = VoiceOptions::default().with_length(PromptLength::Truncated);
        self.clone_voice_with(recording, &options)
    }

    /// Clones a voice from a recording, with options.
    ///
    /// # Errors
    ///
    /// As [`Self::clone_voice`], or the work was cancelled.
    pub fn clone_voice_with(&self, recording: &Audio, options: &VoiceOptions) -> Result<Voice> {
        let options = within_context(options);
        Ok(self.model().clone_voice_with(recording, &options)?)
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

    fn find_voice(&self, spec: &str, options: &VoiceOptions) -> Result<Voice> {
        let shared = &self.shared;
        let cannot_clone = self.model().no_voice_cloning();
        let found = VoiceSource::find(spec, &shared.source, &shared.files, cannot_clone)?;
        let model = self.model();
        match found {
            #[cfg(feature = "builtin-voice")]
            VoiceSource::BuiltIn(name, bytes) => {
                shared.voices.get(Some(VoiceKey::built_in(name)), || {
                    let title = format!("the built-in voice {name}");
                    Ok(model.voice_from_static(bytes, title)?)
                })
            }
            VoiceSource::File(path) => {
                let key = VoiceKey::file(&path, PromptLength::Whole);
                shared
                    .voices
                    .get(key, || Ok(model.load_voice_with(&path, options)?))
            }
            VoiceSource::Recording(path) => {
                let key = VoiceKey::file(&path, options.length);
                shared
                    .voices
                    .get(key, || Ok(model.voice_from_recording(&path, options)?))
            }
        }
    }
}

/// Adds the limit of the current context to options.
fn within_context(options: &VoiceOptions) -> VoiceOptions {
    let limits = [options.memory_limit_bytes, context_limit_bytes()];
    let mut options = options.clone();
    options.memory_limit_bytes = limits.into_iter().flatten().min();
    options
}
