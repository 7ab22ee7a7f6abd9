//! A loaded model and its public methods.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use tensor_pool::MemoryPool;

use crate::audio::{Audio, PromptLength};
use crate::components::{VoiceCost, VoiceNeed};
use crate::config::Config;
use crate::device::DeviceKind;
use crate::engine::{Engine, ModelParts, ModelSize, RunOptions};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::options::{GenerateOptions, VoiceOptions};
use crate::stream::{Interrupted, SpeechRequest, SpeechStream, StreamCost, collect};
use crate::text::{PreparedText, SegmentRules, preparing_bytes};
use crate::voice::Voice;
use crate::weights::Directory;

/// A loaded model. Cheap to clone; one model serves many threads.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) engine: Arc<Engine>,
}

impl Model {
    /// Checks and loads a model.
    ///
    /// # Errors
    ///
    /// The weights or the tokenizer do not match the config, or the device is not available.
    pub fn load(parts: ModelParts, options: RunOptions) -> Result<Self> {
        Ok(Self {
            engine: Arc::new(Engine::load(parts, options)?),
        })
    }

    /// Returns the config.
    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    /// Returns the device that the model computes on.
    pub fn device(&self) -> DeviceKind {
        self.engine.device()
    }

    /// Returns the number of compute threads.
    pub fn threads(&self) -> usize {
        self.engine.threads.count()
    }

    /// Returns the sample rate of the audio.
    pub fn sample_rate_hz(&self) -> u32 {
        self.engine.sample_rate_hz()
    }

    /// Returns the number of samples in one frame.
    pub fn frame_samples(&self) -> usize {
        self.engine.frame_samples()
    }

    /// Returns the reason why the model cannot clone voices; `None` if it can.
    pub fn no_voice_cloning(&self) -> Option<&str> {
        self.engine.no_voice_cloning()
    }

    /// Returns the device of the model's tensors. Use it to lease further tensors from the model's pool.
    pub fn tensor_device(&self) -> &Device {
        self.engine.tensor_device()
    }

    /// Returns the pool that streams lease their state from.
    pub fn memory_pool(&self) -> &MemoryPool {
        self.engine.memory.ledger().pool()
    }

    /// Returns the ledger that the model was loaded with.
    pub fn ledger(&self) -> &Ledger {
        self.engine.memory.ledger()
    }

    /// Returns the sizes of the model's components.
    pub fn size(&self) -> ModelSize {
        self.engine.size()
    }

    /// Returns the memory that a stream needs in addition to the model and a voice.
    #[must_use]
    pub fn stream_cost(&self) -> StreamCost {
        StreamCost::of(&self.engine)
    }

    /// Loads a voice from a `.safetensors` file.
    ///
    /// # Errors
    ///
    /// The file is missing, damaged, or was made for another model.
    pub fn load_voice(&self, path: impl AsRef<Path>) -> Result<Voice> {
        let path = path.as_ref();
        self.engine.read_voice(&Directory::open(path)?, path)
    }

    /// Loads a voice from the bytes of a `.safetensors` file; `name` identifies it in messages.
    ///
    /// # Errors
    ///
    /// As [`Self::load_voice`].
    pub fn voice_from_static(&self, bytes: &'static [u8], name: impl AsRef<Path>) -> Result<Voice> {
        let name = name.as_ref();
        self.engine
            .read_voice(&Directory::from_static(bytes, name)?, name)
    }

    /// Clones a voice from a recording, which is resampled and ended on a pause.
    ///
    /// # Errors
    ///
    /// The audio is empty or damaged, or the model cannot clone voices.
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
    /// As [`Self::clone_voice`], or the options' token was cancelled.
    pub fn clone_voice_with(&self, recording: &Audio, options: &VoiceOptions) -> Result<Voice> {
        self.engine.clone_voice(recording, options)
    }

    /// Clones a voice from a WAV, FLAC, MP3 or OGG Vorbis file. Only the length that the options select
    /// is read; the recording is never in memory as a whole, only the prompt at the model's sample rate
    /// is.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is longer than [`MAX_READ_DURATION`](crate::audio::MAX_READ_DURATION)
    /// and not truncated; as [`Self::clone_voice`]; or the options' token was cancelled.
    pub fn voice_from_recording(
        &self,
        path: impl AsRef<Path>,
        options: &VoiceOptions,
    ) -> Result<Voice> {
        self.engine.voice_from_recording(path.as_ref(), options)
    }

    /// Returns the sizes that determine the memory of making a voice.
    #[must_use]
    pub fn voice_cost(&self) -> VoiceCost {
        self.engine.voice_cost()
    }

    /// Returns the memory of loading a voice file. Reads only its header.
    ///
    /// # Errors
    ///
    /// As [`Self::load_voice`].
    pub fn voice_file_need(&self, path: impl AsRef<Path>) -> Result<VoiceNeed> {
        let path = path.as_ref();
        self.engine.voice_file_need(&Directory::open(path)?, path)
    }

    /// Writes a voice to a `.safetensors` file, atomically.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn export_voice(&self, voice: &Voice, path: impl AsRef<Path>) -> Result<()> {
        Ok(voice.kv.write(path.as_ref())?)
    }

    /// Returns the bytes that [`Self::drop_voice_encoder`] would free now.
    pub fn unused_encoder_bytes(&self) -> u64 {
        self.engine.unused_encoder_bytes()
    }

    /// Drops the voice encoder if it is loaded and not in use. It is loaded again when the next voice is
    /// cloned. Returns the bytes of its prepared weights.
    pub fn drop_voice_encoder(&self) -> u64 {
        self.engine.drop_voice_encoder()
    }

    /// Normalizes a text, cuts it into segments and tokenizes them. The options' `max_tokens` and
    /// `frames_after_eos` apply. A `String` is not copied.
    ///
    /// # Errors
    ///
    /// The text contains nothing to speak, or a setting is out of range.
    pub fn prepare(
        &self,
        text: impl Into<String>,
        options: &GenerateOptions,
    ) -> Result<PreparedText> {
        options.validate()?;
        let config = self.config();
        let rules = SegmentRules {
            max_tokens: NonZeroUsize::new(options.max_tokens).unwrap_or(NonZeroUsize::MIN),
            frame_rate: config.mimi.frame_rate,
            frames_after_eos: options
                .frames_after_eos
                .or(config.model_recommended_frames_after_eos),
        };
        let (tokenizer, text_options) = (&self.engine.tokenizer, &self.engine.text_options);
        Ok(PreparedText::new(
            tokenizer,
            text.into(),
            text_options,
            rules,
        )?)
    }

    /// Returns an upper bound of the bytes that [`Self::prepare`] allocates at any time for a text of
    /// `text_bytes` bytes, including the text. A prepared text holds
    /// [`size_bytes`](PreparedText::size_bytes) of it.
    #[must_use]
    pub fn preparing_bytes(&self, text_bytes: usize, options: &GenerateOptions) -> u64 {
        let max_tokens = options.max_tokens;
        preparing_bytes(&self.engine.tokenizer, text_bytes, max_tokens)
    }

    /// Starts generating speech. Each audio chunk is available as soon as it is decoded.
    ///
    /// # Errors
    ///
    /// A setting is out of range, or the text was prepared for another model.
    /// [`LimitTooLow`](crate::MemoryError::LimitTooLow) if the speech may exceed the request's memory
    /// limit. If other code takes the memory while the stream runs, its last item is
    /// [`LimitExceeded`](crate::MemoryError::LimitExceeded).
    pub fn stream(&self, request: SpeechRequest) -> Result<SpeechStream> {
        SpeechStream::start(&self.engine, request)
    }

    /// Generates the whole speech: the chunks of [`Self::stream`], joined. The memory
    /// limit includes the audio.
    ///
    /// # Errors
    ///
    /// As [`Self::stream`], or the device fails. The error contains the audio so far.
    pub fn generate(&self, request: SpeechRequest) -> Result<Audio, Interrupted> {
        let silence = || Audio::new(Vec::new(), self.sample_rate_hz());
        let first = |mut audio: Vec<Audio>| audio.pop().unwrap_or_else(silence);
        collect(&self.engine, vec![request])
            .map(first)
            .map_err(|end| end.map_partial(first))
    }

    /// Generates speech for several requests. Their segments share one batch of the largest
    /// [`batch_size`](GenerateOptions::batch_size). Each result equals what [`Self::generate`] returns
    /// with the same seed.
    ///
    /// # Errors
    ///
    /// As [`Self::generate`], for any of the requests, or their `sampler_decode_steps` differ.
    pub fn generate_batch(
        &self,
        requests: Vec<SpeechRequest>,
    ) -> Result<Vec<Audio>, Interrupted<Vec<Audio>>> {
        collect(&self.engine, requests)
    }
}

crate::traced::trace_fields!(Model: engine);
