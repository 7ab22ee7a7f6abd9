//! Models whose files are open, but whose weights are not loaded.

use std::borrow::Cow;

use tts_core::audio::Recording;
use tts_core::memory::{ModelCost, StreamNeed, VoiceNeed};
use tts_core::text::SegmentSize;
use tts_core::{Config, GenerateOptions, ModelParts, PreparedText, VoiceOptions};

use crate::error::{Error, Result};
use crate::memory::{MemoryPlan, Pending, Work, get_memory_ledger, max_batch_size_of};
use crate::model::{LoadOptions, TtsModel};
use crate::source::{Files, ModelSource};
use crate::voice::VoiceSource;

/// A model whose files are open, but whose weights are not loaded. It prepares texts, and predicts the
/// memory of everything that follows: loading the model, making a voice, and speech.
///
/// ```
/// # #[cfg(feature = "builtin-voice")] {
/// use pocket_tts::{GenerateOptions, LoadOptions, ModelSource, OpenModel, VoiceOptions};
///
/// let options = GenerateOptions::default();
/// let opened = OpenModel::open(ModelSource::BuiltIn, LoadOptions::default())?;
/// let text = opened.prepare("Hello world.", &options)?;
/// let plan = opened.plan(None, &VoiceOptions::default(), &text, &options)?;
/// println!("{plan}");
/// plan.check()?;
/// let model = opened.load()?;
/// let audio = model.generate(&model.default_voice()?, &text, &options)?;
/// # assert!(!audio.samples().is_empty());
/// # }
/// # Ok::<(), pocket_tts::Error>(())
/// ```
pub struct OpenModel {
    source: ModelSource,
    files: Files,
    parts: ModelParts,
    options: LoadOptions,
}

impl OpenModel {
    /// Opens the files of a model, and downloads them if necessary.
    ///
    /// # Errors
    ///
    /// As [`TtsModel::load`], except for the device and the memory limit.
    pub fn open(source: ModelSource, options: LoadOptions) -> Result<Self> {
        #[cfg(feature = "hub")]
        let files = Files::new(options.hub.clone());
        #[cfg(not(feature = "hub"))]
        let files = Files::new();
        let parts = source.open(&files)?;
        Ok(Self {
            source,
            files,
            parts,
            options,
        })
    }

    /// Returns the model's config.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.parts.config
    }

    /// Prepares a text for the model; see [`TtsModel::prepare`].
    ///
    /// # Errors
    ///
    /// As [`TtsModel::prepare`].
    pub fn prepare<'a>(
        &self,
        text: impl Into<Cow<'a, str>>,
        options: &GenerateOptions,
    ) -> Result<PreparedText> {
        Ok(self.parts.prepare(text, options)?)
    }

    /// Predicts the memory of loading the model, making the voice, and streaming the speech of a text. A
    /// voice of `None` is the [default](ModelSource::default_voice). The voice's file is downloaded if
    /// necessary.
    ///
    /// # Errors
    ///
    /// The voice is not available, is damaged, or was made for another model.
    pub fn plan(
        &self,
        voice: Option<&str>,
        voice_options: &VoiceOptions,
        text: &PreparedText,
        options: &GenerateOptions,
    ) -> Result<MemoryPlan> {
        let cost = self.parts.cost(self.options.threads);
        let voice = self.voice_need(voice, voice_options, &cost)?;
        let longest = text.largest_segment();
        let speed_limit = max_batch_size_of(cost.loading.prepared_bytes);
        Ok(MemoryPlan::new(&Work {
            need: cost.stream.need(longest).with_cutting(text.cutting_bytes()),
            segments: text.segment_count(),
            longest,
            max_batch_size: options.batch_size.unwrap_or(speed_limit),
            ..before_speech(&cost, voice, voice_options)
        }))
    }

    /// Predicts the memory of loading the model and making a voice; see [`Self::plan`].
    ///
    /// # Errors
    ///
    /// As [`Self::plan`].
    pub fn plan_voice(&self, voice: &str, voice_options: &VoiceOptions) -> Result<MemoryPlan> {
        let cost = self.parts.cost(self.options.threads);
        let voice = self.voice_need(Some(voice), voice_options, &cost)?;
        Ok(MemoryPlan::new(&before_speech(&cost, voice, voice_options)))
    }

    /// Loads the model.
    ///
    /// # Errors
    ///
    /// As [`TtsModel::load`].
    pub fn load(self) -> Result<TtsModel> {
        TtsModel::load_opened(self.source, self.files, self.parts, self.options)
    }

    fn voice_need(
        &self,
        voice: Option<&str>,
        options: &VoiceOptions,
        cost: &ModelCost,
    ) -> Result<VoiceNeed> {
        let cannot_clone = self.parts.no_voice_cloning.as_deref();
        let find = |spec| VoiceSource::find(spec, &self.source, &self.files, cannot_clone);
        let found = match voice {
            Some(spec) => find(spec)?,
            None => find(self.source.default_voice())
                .map_err(|error| Error::of_default_voice(&self.source, error))?,
        };
        Ok(match found {
            #[cfg(feature = "builtin-voice")]
            VoiceSource::BuiltIn(name, bytes) => {
                let title = format!("the built-in voice {name}");
                self.parts.static_voice_need(bytes, title, &cost.voice)?
            }
            VoiceSource::File(path) => self.parts.voice_file_need(path, &cost.voice)?,
            VoiceSource::Recording(path) => {
                let recording = Recording::open(path, options.length, &options.cancel)
                    .map_err(tts_core::Error::from)?;
                cost.voice.recording(&recording.info())
            }
        })
    }
}

/// Loading a model and making a voice, without speech.
fn before_speech<'a>(
    cost: &'a ModelCost,
    voice: VoiceNeed,
    voice_options: &VoiceOptions,
) -> Work<'a> {
    Work {
        ledger: get_memory_ledger(),
        cost: &cost.stream,
        need: StreamNeed::default(),
        segments: Some(0),
        longest: SegmentSize::default(),
        max_batch_size: 1,
        own_limit_bytes: voice_options.memory_limit_bytes,
        weights_bytes: cost.loading.prepared_bytes,
        mapped_bytes: cost.loading.mapped_bytes,
        voice_bytes: voice.voice_bytes,
        threads: cost.threads,
        pending: Some(Pending {
            loading: cost.loading,
            voice,
        }),
    }
}
