//! A model that is ready to speak.

mod plan;

use std::path::Path;
use std::sync::Arc;

use leak_detect::Trace;
use tensor_pool::{Device, MemoryPool};
use tts_core::memory::StreamNeed;
use tts_core::{
    Audio, Config, DeviceKind, GenerateOptions, Model, PartSize, RunOptions, SpeechRequest,
    SpeechStream, Voice,
};

use crate::error::Result;
use crate::info::ModelInfo;
use crate::location::Location;
use crate::memory::{
    LoadedModel, batch_size_for, current_limit, get_memory_pool, optimize_model_memory,
    register_model, track,
};
use crate::preset::Preset;
use crate::source::{Files, ModelSource};
use crate::voice_cache::VoiceCache;

/// Voices that a model keeps unless told otherwise: those of nine recordings of 30 seconds with the
/// built-in model (9 KiB a frame, 25 frames a second), of three with the released ones (48 KiB, 12.5).
const DEFAULT_VOICE_CACHE_BYTES: u64 = 64 << 20;

/// How a model is loaded. The default takes the hub's settings from the environment, see
/// `HubOptions::from_env`.
#[derive(Clone)]
pub struct LoadOptions {
    /// Where it computes.
    pub device: DeviceKind,
    /// Threads of the CPU devices; one per available core when `None`.
    pub threads: Option<usize>,
    /// Whether to apply [`optimize_model_memory`] when the model is loaded.
    pub optimize_memory: bool,
    /// Most bytes of the voices that were used last, which are kept for the next use; 0 keeps none.
    pub voice_cache_bytes: u64,
    /// Where downloads come from, where they are kept, and who watches them.
    #[cfg(feature = "hub")]
    pub hub: crate::hub::HubOptions,
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

/// A model that is ready to speak. Cheap to clone; one model serves many threads at once.
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
#[derive(Clone)]
pub struct TtsModel {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Trace)]
pub(crate) struct Shared {
    #[trace(skip)]
    pub(crate) model: Model,
    #[trace(skip)]
    pub(crate) source: ModelSource,
    #[trace(skip)]
    pub(crate) files: Files,
    pub(crate) voices: VoiceCache,
}

impl LoadedModel for Shared {
    fn device(&self) -> DeviceKind {
        self.model.device()
    }

    fn cached_voice_bytes(&self) -> u64 {
        self.voices.bytes()
    }

    fn evict_voices(&self) -> u64 {
        self.voices.evict()
    }

    fn drop_voice_encoder(&self) -> u64 {
        self.model.drop_voice_encoder()
    }

    fn track(self: Arc<Self>) {
        track(&self);
        self.voices.track();
    }
}

/// The engine's model below this one.
impl AsRef<Model> for TtsModel {
    fn as_ref(&self) -> &Model {
        &self.shared.model
    }
}

impl TtsModel {
    /// Loads the small English model that is part of the program, with [`LoadOptions::default`].
    ///
    /// # Errors
    ///
    /// The default device cannot be had.
    #[cfg(feature = "builtin-voice")]
    pub fn builtin() -> Result<Self> {
        Self::load(ModelSource::BuiltIn, LoadOptions::default())
    }

    /// Loads a released model by its name, such as `english`, with [`LoadOptions::default`]. Its files
    /// are downloaded on first use.
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
    /// No released model has that name, its files cannot be had, or the device cannot.
    pub fn from_preset(name: &str) -> Result<Self> {
        Self::load(
            ModelSource::Preset(Preset::named(name)?),
            LoadOptions::default(),
        )
    }

    /// Loads the model that a config file describes, with [`LoadOptions::default`].
    ///
    /// # Errors
    ///
    /// The config is not one, a file that it names cannot be had or does not fit it, or the device
    /// cannot be had.
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
    /// let options = LoadOptions {
    ///     threads: Some(1),
    ///     ..LoadOptions::default()
    /// };
    /// let model = TtsModel::load(ModelSource::BuiltIn, options)?;
    /// assert_eq!(model.info().threads, 1);
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::from_preset`] and [`Self::from_config`];
    /// [`MemoryLimitTooLow`](tts_core::Error::MemoryLimitTooLow) where the limit that holds here leaves no
    /// room for the model.
    pub fn load(source: ModelSource, options: LoadOptions) -> Result<Self> {
        #[cfg(feature = "hub")]
        let files = Files::new(options.hub);
        #[cfg(not(feature = "hub"))]
        let files = Files::new();
        let parts = source.open(&files)?;
        if let Some(limit) = current_limit() {
            limit.admit_loading(&get_memory_pool(), &parts)?;
        }
        let run = RunOptions {
            device: options.device,
            threads: options.threads,
            memory_pool: Some(get_memory_pool()),
        };
        let shared = Arc::new(Shared {
            model: Model::load(parts, run)?,
            source,
            files,
            voices: VoiceCache::new(options.voice_cache_bytes),
        });
        let weak = Arc::downgrade(&shared);
        register_model(weak);
        track(&shared);
        let model = Self { shared };
        if options.optimize_memory {
            // Preparing weights leaves blocks of sizes that speech never asks for.
            let freed = optimize_model_memory(&model);
            tracing::debug!("after loading: {freed}");
        }
        Ok(model)
    }

    pub(crate) fn model(&self) -> &Model {
        &self.shared.model
    }

    /// Where it came from.
    pub fn source(&self) -> &ModelSource {
        &self.shared.source
    }

    /// Its config.
    pub fn config(&self) -> &Config {
        self.model().config()
    }

    /// Samples a second of what it speaks.
    pub fn sample_rate_hz(&self) -> u32 {
        self.model().sample_rate_hz()
    }

    /// The pool that its streams lease their state from: the [process's](get_memory_pool).
    pub fn memory_pool(&self) -> &MemoryPool {
        self.model().memory_pool()
    }

    /// The device that its tensors are on, to lease others of the pool there.
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
    /// assert_eq!(tensor.bytes().get(), 24);
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    pub fn tensor_device(&self) -> &Device {
        self.model().tensor_device()
    }

    /// Its sizes and what it needs of memory.
    pub fn info(&self) -> ModelInfo {
        ModelInfo::of(self.model(), self.source())
    }

    /// Speaks a text from its start to its end, as many parts of it at once as are
    /// [best](crate::memory::get_batch_optimizer) unless the options say how many.
    ///
    /// Within a [context](crate::memory::memory_efficient_context), the limit holds for all that the
    /// program holds meanwhile, the audio included.
    ///
    /// # Errors
    ///
    /// The text holds nothing to say, a setting is out of range, or the device failed;
    /// [`MemoryLimitTooLow`](tts_core::Error::MemoryLimitTooLow) before anything is said,
    /// [`MemoryLimitExceeded`](tts_core::Error::MemoryLimitExceeded) with what was said.
    pub fn generate(&self, voice: &Voice, text: &str, options: &GenerateOptions) -> Result<Audio> {
        let options = self.with_batch_size(options, &[text])?;
        Ok(self
            .model()
            .generate_within(voice, text, &options, current_limit())?)
    }

    /// Speaks several texts, parts of them at once; otherwise as [`Self::generate`]. Each sounds as it does
    /// alone with the same seed.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// # let model = pocket_tts::TtsModel::builtin()?;
    /// # let voice = model.default_voice()?;
    /// use pocket_tts::SpeechRequest;
    ///
    /// let requests = ["One.", "Two."].map(|text| SpeechRequest {
    ///     voice: voice.clone(),
    ///     text: text.to_owned(),
    /// });
    /// let spoken = model.generate_batch(&requests, &Default::default())?;
    /// assert_eq!(spoken.len(), 2);
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::generate`], for any of the texts.
    pub fn generate_batch(
        &self,
        requests: &[SpeechRequest],
        options: &GenerateOptions,
    ) -> Result<Vec<Audio>> {
        let texts: Vec<_> = requests.iter().map(|request| &*request.text).collect();
        let options = self.with_batch_size(options, &texts)?;
        Ok(self
            .model()
            .generate_batch(requests, &options, current_limit())?)
    }

    /// Starts to speak: an iterator of audio, as it is made. Dropping it stops the work.
    ///
    /// One part of the text at a time, unless the options say otherwise: the first audio comes soonest so,
    /// and memory stays the same however long the text. A limit of the
    /// [context](crate::memory::memory_efficient_context) is kept to the stream's end, on whatever thread
    /// it is taken from.
    ///
    /// ```
    /// # #[cfg(feature = "builtin-voice")] {
    /// # let model = pocket_tts::TtsModel::builtin()?;
    /// # let voice = model.default_voice()?;
    /// for chunk in model.stream(&voice, "One. Two.", &Default::default())? {
    ///     println!("{} samples more", chunk?.samples().len());
    /// }
    /// # }
    /// # Ok::<(), pocket_tts::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::generate`]. An error on the way is the iterator's last item.
    pub fn stream(
        &self,
        voice: &Voice,
        text: &str,
        options: &GenerateOptions,
    ) -> Result<SpeechStream> {
        Ok(self
            .model()
            .stream_within(voice, text, options, current_limit())?)
    }

    /// The options with a batch size.
    fn with_batch_size(
        &self,
        options: &GenerateOptions,
        texts: &[&str],
    ) -> Result<GenerateOptions> {
        let mut options = options.clone();
        if options.batch_size.is_none() {
            let parts = self.parts_of(texts, &options)?;
            options.batch_size = Some(batch_size_for(self.model(), &parts, &self.need_of(&parts)));
        }
        Ok(options)
    }

    /// The parts of some texts.
    pub(crate) fn parts_of(
        &self,
        texts: &[&str],
        options: &GenerateOptions,
    ) -> Result<Vec<PartSize>> {
        let mut parts = Vec::new();
        for text in texts {
            parts.extend(self.model().parts(text, options)?);
        }
        Ok(parts)
    }

    /// What speaking these parts takes, the audio included.
    pub(crate) fn need_of(&self, parts: &[PartSize]) -> StreamNeed {
        let frames: usize = parts.iter().map(|part| part.max_frames).sum();
        let audio = frames * self.model().frame_samples() * size_of::<f32>();
        self.model().stream_cost().need(parts).with_audio(audio)
    }
}
