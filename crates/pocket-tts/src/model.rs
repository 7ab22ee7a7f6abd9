//! Loaded models.

mod plan;
mod shortage;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use leak_detect::Trace;
use tensor_pool::{Device, MemoryPool};
use tts_core::{
    Audio, Config, DeviceKind, GenerateOptions, Model, ModelParts, PreparedText, RunOptions,
    SpeechRequest, Voice,
};

use crate::error::{Error, Result};
use crate::info::ModelInfo;
use crate::location::Location;
use crate::memory::{
    LoadedModel, context_limit_bytes, get_memory_ledger, max_batch_size, optimize_model_memory,
    register_model, track,
};
use crate::open_model::OpenModel;
use crate::preset::Preset;
use crate::source::{Files, ModelSource};
use crate::speech::{Interrupted, SpeechStream, SpeechText};
use crate::voice_cache::VoiceCache;
use shortage::ShortageCallbacks;

/// Default capacity of a model's voice cache: nine recordings of 30 seconds with a small model (9 KiB per
/// frame, 25 frames per second), three with the released models (48 KiB, 12.5).
const DEFAULT_VOICE_CACHE_BYTES: u64 = 64 << 20;

/// Options for loading a model. The default reads the hub's settings from the environment (see
/// `HubOptions::from_env`).
#[derive(Clone)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Device that the model computes on.
    pub device: DeviceKind,
    /// Threads of the CPU devices; one per available core when `None`.
    pub threads: Option<usize>,
    /// Whether loading applies [`optimize_model_memory`].
    pub optimize_memory: bool,
    /// Capacity of the cache of recently used voices; 0 disables the cache.
    pub voice_cache_bytes: u64,
    /// Source, cache and progress of downloads.
    #[cfg(feature = "hub")]
    pub hub: crate::hub::HubOptions,
}

impl LoadOptions {
    /// Sets the device.
    #[must_use]
    pub fn with_device(mut self, device: DeviceKind) -> Self {
        self.device = device;
        self
    }

    /// Sets the number of threads of the CPU devices.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Loads the model without [`optimize_model_memory`].
    #[must_use]
    pub fn without_memory_optimization(mut self) -> Self {
        self.optimize_memory = false;
        self
    }

    /// Sets the capacity of the voice cache.
    #[must_use]
    pub fn with_voice_cache_bytes(mut self, bytes: u64) -> Self {
        self.voice_cache_bytes = bytes;
        self
    }

    /// Sets the options of downloads.
    #[cfg(feature = "hub")]
    #[must_use]
    pub fn with_hub(mut self, hub: crate::hub::HubOptions) -> Self {
        self.hub = hub;
        self
    }
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            device: DeviceKind::default(),
            threads: None,
            optimize_memory: true,
            voice_cache_bytes: DEFAULT_VOICE_CACHE_BYTES,
            #[cfg(feature = "hub")]
            hub: crate::hub::HubOptions::from_env(),
        }
    }
}

/// A loaded model. Clones share it, and many threads can use it concurrently.
///
/// ```
/// # #[cfg(feature = "builtin-voice")] {
/// use pocket_tts::{GenerateOptions, TtsModel};
///
/// let model = TtsModel::builtin()?;
/// let voice = model.default_voice()?;
/// let audio = model.generate(&voice, "Hello world.", &GenerateOptions::default())?;
/// assert!(audio.duration().as_secs_f64() > 0.5);
/// # }
/// # Ok::<(), pocket_tts::Error>(())
/// ```
#[derive(Clone, Trace)]
pub struct TtsModel {
    pub(crate) shared: Arc<SharedModel>,
}

#[derive(Trace)]
pub(crate) struct SharedModel {
    pub(crate) model: Model,
    /// Names and paths, which own no `Arc`.
    #[trace(skip)]
    pub(crate) source: ModelSource,
    pub(crate) files: Files,
    pub(crate) voices: VoiceCache,
    shortage: ShortageCallbacks,
}

impl LoadedModel for SharedModel {
    fn device(&self) -> DeviceKind {
        self.model.device()
    }

    fn cached_voice_bytes(&self) -> u64 {
        self.voices.size_bytes()
    }

    fn evict_voices(&self) -> u64 {
        self.voices.evict()
    }

    fn reclaimable_bytes(&self) -> u64 {
        self.voices.unused_bytes() + self.model.unused_encoder_bytes()
    }

    fn drop_voice_encoder(&self) -> u64 {
        self.model.drop_voice_encoder()
    }

    fn call_on_shortage(&self) {
        self.shortage.call();
    }

    fn track(self: Arc<Self>) {
        track(&self);
        self.voices.track();
    }
}

/// Returns the engine's model, which applies no limit of a context.
impl AsRef<Model> for TtsModel {
    fn as_ref(&self) -> &Model {
        &self.shared.model
    }
}

impl TtsModel {
    /// Loads the built-in English model with [`LoadOptions::default`].
    ///
    /// # Errors
    ///
    /// The default device is not available.
    #[cfg(feature = "builtin-voice")]
    pub fn builtin() -> Result<Self> {
        Self::load(ModelSource::BuiltIn, LoadOptions::default())
    }

    /// Loads a released model, such as `english`, with [`LoadOptions::default`]. Its files are
    /// downloaded on first use.
    ///
    /// ```no_run
    /// use pocket_tts::TtsModel;
    ///
    /// let model = TtsModel::from_preset("french")?;
    /// let voice = model.voice("estelle")?;
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The name is unknown, or the files or the device are not available.
    pub fn from_preset(name: &str) -> Result<Self> {
        Self::load(
            ModelSource::Preset(Preset::named(name)?),
            LoadOptions::default(),
        )
    }

    /// Loads the model of a config file with [`LoadOptions::default`].
    ///
    /// # Errors
    ///
    /// The config is invalid, a file that it names is not available or does not match it, or the device
    /// is not available.
    pub fn from_config(path: impl AsRef<Path>) -> Result<Self> {
        let location = Location::Local(path.as_ref().to_owned());
        Self::load(ModelSource::Config(location), LoadOptions::default())
    }

    /// Loads a model.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// use pocket_tts::{LoadOptions, ModelSource, TtsModel};
    ///
    /// let options = LoadOptions::default().with_threads(1);
    /// let model = TtsModel::load(ModelSource::BuiltIn, options)?;
    /// assert_eq!(model.info().threads, 1);
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Self::from_preset`] and [`Self::from_config`], and
    /// [`LimitTooLow`](tts_core::MemoryError::LimitTooLow) if the limit of the context leaves no room for
    /// the model.
    pub fn load(source: ModelSource, options: LoadOptions) -> Result<Self> {
        OpenModel::open(source, options)?.load()
    }

    /// Loads a model whose files are open.
    pub(crate) fn load_opened(
        source: ModelSource,
        files: Files,
        parts: ModelParts,
        options: LoadOptions,
    ) -> Result<Self> {
        let mut run = RunOptions::default()
            .with_device(options.device)
            .with_ledger(get_memory_ledger().clone());
        run.threads = options.threads;
        run.memory_limit_bytes = context_limit_bytes();
        let shared = Arc::new(SharedModel {
            model: Model::load(parts, run)?,
            source,
            files,
            voices: VoiceCache::new(options.voice_cache_bytes),
            shortage: ShortageCallbacks::default(),
        });
        let weak = Arc::downgrade(&shared);
        register_model(weak);
        track(&shared);
        let model = Self { shared };
        if options.optimize_memory {
            // Preparing weights leaves idle blocks of sizes that speech does not use.
            let freed = optimize_model_memory(&model);
            tracing::debug!("after loading: {freed}");
        }
        Ok(model)
    }

    pub(crate) fn model(&self) -> &Model {
        &self.shared.model
    }

    /// Returns the source of the model.
    pub fn source(&self) -> &ModelSource {
        &self.shared.source
    }

    /// Returns the model's config.
    pub fn config(&self) -> &Config {
        self.model().config()
    }

    /// Returns the sample rate of the generated audio.
    pub fn sample_rate_hz(&self) -> u32 {
        self.model().sample_rate_hz()
    }

    /// Returns the pool that streams lease their state from: the [process's](crate::memory::get_memory_pool).
    pub fn memory_pool(&self) -> &MemoryPool {
        self.model().memory_pool()
    }

    /// Returns the device of the model's tensors, to lease other tensors of the pool there.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// # let model = pocket_tts::TtsModel::builtin()?;
    /// use pocket_tts::CoreError;
    /// use pocket_tts::memory::DType;
    ///
    /// let pool = model.memory_pool();
    /// let tensor = pool
    ///     .get_tensor([2, 3], DType::F32, model.tensor_device())
    ///     .map_err(CoreError::from)?;
    /// assert_eq!(tensor.bytes(), 24);
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    pub fn tensor_device(&self) -> &Device {
        self.model().tensor_device()
    }

    /// Returns the model's sizes and settings.
    pub fn info(&self) -> ModelInfo {
        ModelInfo::of(self.model(), self.source())
    }

    /// Normalizes a text, cuts it into segments and tokenizes them, for use with the methods of this
    /// model. The options' `max_tokens` and `frames_after_eos` apply.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// # let model = pocket_tts::TtsModel::builtin()?;
    /// # let voice = model.default_voice()?;
    /// # let options = pocket_tts::GenerateOptions::default();
    /// let text = model.prepare("Hello world.", &options)?;
    /// println!("{}", model.plan_memory(&voice, &text, &options)?);
    /// let audio = model.generate(&voice, &text, &options)?;
    /// # assert!(!audio.samples().is_empty());
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The text contains nothing to speak, or a setting is out of range.
    pub fn prepare<'a>(
        &self,
        text: impl Into<Cow<'a, str>>,
        options: &GenerateOptions,
    ) -> Result<PreparedText> {
        Ok(self.model().prepare(text, options)?)
    }

    /// Creates a request from a voice and a text, for [`Self::generate_batch`].
    ///
    /// # Errors
    ///
    /// Those of [`Self::prepare`].
    pub fn request<'a>(
        &self,
        voice: &Voice,
        text: impl Into<SpeechText<'a>>,
        options: &GenerateOptions,
    ) -> Result<SpeechRequest> {
        let text = text.into().prepare(self.model(), options)?;
        Ok(SpeechRequest::new(voice.clone(), text, options.clone()))
    }

    /// Generates the speech of a text. The options' batch size, if not set, is chosen by
    /// [`get_batch_optimizer`](crate::memory::get_batch_optimizer).
    ///
    /// Within a [context](crate::memory::memory_efficient_context), the limit applies to all counted
    /// memory of the program, including the audio.
    ///
    /// # Errors
    ///
    /// The text contains nothing to speak, a setting is out of range, the device failed, or the memory
    /// limit is too low. The error contains the audio so far.
    pub fn generate<'a>(
        &self,
        voice: &Voice,
        text: impl Into<SpeechText<'a>>,
        options: &GenerateOptions,
    ) -> Result<Audio, Interrupted> {
        let silence = || Audio::new(Vec::new(), self.sample_rate_hz());
        let request = self.request(voice, text, options);
        let request = request.map_err(|error| Interrupted::new(error, silence()))?;
        let first = |mut audio: Vec<Audio>| audio.pop().unwrap_or_else(silence);
        self.generate_batch(vec![request])
            .map(first)
            .map_err(|end| end.map_partial(first))
    }

    /// Generates the speech of several texts in one batch; otherwise as [`Self::generate`]. Each audio
    /// equals the result of [`Self::generate`] with the same seed.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// # let model = pocket_tts::TtsModel::builtin()?;
    /// # let voice = model.default_voice()?;
    /// let options = pocket_tts::GenerateOptions::default();
    /// let first = model.request(&voice, "One.", &options)?;
    /// let second = model.request(&voice, "Two.", &options)?;
    /// let audio = model.generate_batch(vec![first, second])?;
    /// assert_eq!(audio.len(), 2);
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::generate`], for any of the requests, or their `sampler_decode_steps` differ.
    pub fn generate_batch(
        &self,
        mut requests: Vec<SpeechRequest>,
    ) -> Result<Vec<Audio>, Interrupted<Vec<Audio>>> {
        if let Err(error) = self.complete(&mut requests) {
            let silence = Audio::new(Vec::new(), self.sample_rate_hz());
            return Err(Interrupted::new(error, vec![silence; requests.len()]));
        }
        let audio = self.model().generate_batch(requests);
        audio.map_err(|end| end.map_error(Error::from))
    }

    /// Starts to generate the speech of a text: an iterator of audio chunks.
    ///
    /// The batch size is 1 unless the options set another one. The first audio is then available soonest,
    /// and the memory does not depend on the length of the text. The limit of the
    /// [context](crate::memory::memory_efficient_context) applies until the stream ends, on any
    /// thread that reads it.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// # let model = pocket_tts::TtsModel::builtin()?;
    /// # let voice = model.default_voice()?;
    /// for chunk in model.stream(&voice, "One. Two.", &Default::default())? {
    ///     println!("{} more samples", chunk?.samples().len());
    /// }
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::generate`]. An error after the start is the iterator's last item.
    pub fn stream<'a>(
        &self,
        voice: &Voice,
        text: impl Into<SpeechText<'a>>,
        options: &GenerateOptions,
    ) -> Result<SpeechStream> {
        let mut request = self.request(voice, text, options)?;
        request.memory_limit_bytes = context_limit_bytes();
        Ok(SpeechStream::new(self.model().stream(request)?))
    }

    /// Cuts the texts of requests, and sets a batch size and the limit of the context if they have none.
    fn complete(&self, requests: &mut [SpeechRequest]) -> Result<()> {
        for request in &mut *requests {
            request.text = request.text.cut()?;
            let limits = [request.memory_limit_bytes, context_limit_bytes()];
            request.memory_limit_bytes = limits.into_iter().flatten().min();
        }
        let is_unset = |request: &SpeechRequest| request.options.batch_size.is_none();
        if requests.iter().all(is_unset)
            && let Some(first) = requests.first_mut()
        {
            first.options.batch_size = Some(max_batch_size(self.model()));
        }
        Ok(())
    }
}
