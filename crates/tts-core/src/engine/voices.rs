//! Voices of a model: from recordings and from files.

use std::path::Path;
use std::sync::Arc;

use super::{Engine, LoadedEncoder};
use crate::audio::{self, Audio, Recording};
use crate::cancel::CancelToken;
use crate::components::{VoiceCost, VoiceNeed};
use crate::error::Result;
use crate::options::VoiceOptions;
use crate::voice::{Voice, VoiceFile, VoiceShape};
use crate::weights::Directory;

impl Engine {
    /// The sizes that determine the memory of making a voice.
    pub(crate) fn voice_cost(&self) -> VoiceCost {
        VoiceCost::of(&self.config, self.threads.count())
    }

    /// The memory of reading a voice file; `path` names it in messages.
    pub(crate) fn voice_file_need(&self, file: &Directory, path: &Path) -> Result<VoiceNeed> {
        let file = VoiceFile::open(file, path, &self.voice_shape(), self.memory.ledger())?;
        let cost = self.voice_cost();
        Ok(cost.file(file.positions(), file.largest_layer_bytes() as u64))
    }

    /// Reads a voice; `path` names it in messages.
    pub(crate) fn read_voice(&self, file: &Directory, path: &Path) -> Result<Voice> {
        let file = VoiceFile::open(file, path, &self.voice_shape(), self.memory.ledger())?;
        let kv = file.read(self.tensor_device())?;
        Ok(Voice { kv: Arc::new(kv) })
    }

    /// Encodes a recording in a file into a voice.
    pub(crate) fn voice_from_recording(
        &self,
        path: &Path,
        options: &VoiceOptions,
    ) -> Result<Voice> {
        self.check_voice_cloning()?;
        let recording = Recording::open(path, options.length, &options.cancel)?;
        self.encode_voice(options, |rate_hz, cancel| {
            recording.into_prompt(rate_hz, cancel)
        })
    }

    /// Encodes speech into a voice.
    pub(crate) fn clone_voice(&self, speech: &Audio, options: &VoiceOptions) -> Result<Voice> {
        self.encode_voice(options, |rate_hz, cancel| {
            audio::prepare(speech, rate_hz, options.length, cancel)
        })
    }

    /// Encodes the prompt that `read` returns.
    fn encode_voice(
        &self,
        options: &VoiceOptions,
        read: impl FnOnce(u32, &CancelToken) -> audio::Result<Audio>,
    ) -> Result<Voice> {
        let _span = tracing::info_span!("encode_voice").entered();
        let cancel = &options.cancel;
        cancel.check()?;
        let encoder = self.encoder()?;
        let prompt = read(self.sample_rate_hz(), cancel)?;
        self.threads
            .all()
            .install(|| self.prefill_voice(&encoder, prompt, cancel))
    }

    fn prefill_voice(
        &self,
        encoder: &LoadedEncoder,
        prompt: Audio,
        cancel: &CancelToken,
    ) -> Result<Voice> {
        let latents = encoder.encode(prompt.samples(), &self.memory, cancel)?;
        drop(prompt);
        let slices = encoder.conditioning(&latents).map(|slice| {
            cancel.check()?;
            Ok(slice)
        });
        let kv = self
            .flow_lm
            .prefill_voice(latents.frames, slices, &self.memory)?;
        Ok(Voice { kv: Arc::new(kv) })
    }

    fn voice_shape(&self) -> VoiceShape {
        VoiceShape {
            layers: self.flow_lm.layers(),
            heads: *self.flow_lm.heads(),
        }
    }
}
