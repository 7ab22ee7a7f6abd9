//! Voices of a model: from recordings and from files.

use std::path::Path;
use std::sync::Arc;

use super::{Engine, LoadedEncoder};
use crate::audio::{self, Audio, Recording, RecordingInfo};
use crate::cancel::CancelToken;
use crate::components::{VoiceCost, VoiceNeed};
use crate::error::Result;
use crate::ledger::Admission;
use crate::options::VoiceOptions;
use crate::voice::{Voice, VoiceFile};
use crate::weights::Directory;

impl Engine {
    /// The sizes that determine the memory of making a voice.
    pub(crate) fn voice_cost(&self) -> VoiceCost {
        VoiceCost::of(&self.config, self.threads.count())
    }

    /// The memory of reading a voice file; `path` names it in messages.
    pub(crate) fn voice_file_need(&self, file: &Directory, path: &Path) -> Result<VoiceNeed> {
        let file = self.open_voice(file, path)?;
        Ok(self.need_of(&file))
    }

    /// Reads a voice; `path` names it in messages.
    pub(crate) fn read_voice(
        &self,
        file: &Directory,
        path: &Path,
        options: &VoiceOptions,
    ) -> Result<Voice> {
        options.cancel.check()?;
        let file = self.open_voice(file, path)?;
        let bytes = self.need_of(&file).peak_bytes(true);
        let _admission = self.admit_voice(options, bytes)?;
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
        let info = recording.info();
        self.encode_voice(&info, options, |rate_hz, cancel| {
            recording.into_prompt(rate_hz, cancel)
        })
    }

    /// Encodes speech into a voice.
    pub(crate) fn clone_voice(&self, speech: &Audio, options: &VoiceOptions) -> Result<Voice> {
        let info = RecordingInfo::of_audio(speech, options.length);
        self.encode_voice(&info, options, |rate_hz, cancel| {
            audio::prepare(speech, rate_hz, options.length, cancel)
        })
    }

    /// Encodes the prompt that `read` returns.
    fn encode_voice(
        &self,
        info: &RecordingInfo,
        options: &VoiceOptions,
        read: impl FnOnce(u32, &CancelToken) -> audio::Result<Audio>,
    ) -> Result<Voice> {
        let _span = tracing::info_span!("encode_voice").entered();
        let cancel = &options.cancel;
        cancel.check()?;
        self.check_voice_cloning()?;
        // Shared from here on, so it is not dropped when memory is short.
        let loaded = self.loaded_encoder();
        let need = self.voice_cost().recording(info);
        let mut admission = self.admit_voice(options, need.peak_bytes(loaded.is_some()))?;
        let encoder = self.encoder()?;
        if loaded.is_none() {
            // Its weights are counted now.
            admission.release(need.encoder_bytes);
        }
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

    fn open_voice<'a>(&'a self, file: &'a Directory, path: &'a Path) -> Result<VoiceFile<'a>> {
        let shape = self.flow_lm.voice_shape();
        Ok(VoiceFile::open(file, path, &shape, self.memory.ledger())?)
    }

    fn need_of(&self, file: &VoiceFile<'_>) -> VoiceNeed {
        let cost = self.voice_cost();
        cost.file(file.positions(), file.largest_layer_bytes() as u64)
    }

    fn admit_voice(&self, options: &VoiceOptions, bytes: u64) -> Result<Admission> {
        let ledger = self.memory.ledger();
        Ok(ledger.admit(options.memory_limit_bytes, "making the voice", bytes, 0)?)
    }
}
