//! A loaded model: everything that is shared by the streams that speak with it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Tensor};
use tensor_pool::MemoryPool;

use crate::audio::{Audio, prepare_voice_prompt};
use crate::config::Config;
use crate::device::DeviceKind;
use crate::error::{Error, Result};
use crate::flow_lm::{FlowLm, FlowLmState};
use crate::ledger::LedgerEntry;
use crate::memory::MemoryLimit;
use crate::mimi::{MimiDecoder, MimiEncoder};
use crate::ops::Placement;
use crate::options::GenerateOptions;
use crate::state::StateMemory;
use crate::stream::SpeechStream;
use crate::text::{TextOptions, Tokenizer};
use crate::threads::Threads;
use crate::voice::{Voice, VoiceKv, VoiceShape};
use crate::weights::{Directory, Weights};

/// What a model is made of.
#[derive(Debug)]
pub struct ModelParts {
    /// Sizes and text rules.
    pub config: Config,
    /// Its tensors.
    pub weights: Weights,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Why voices cannot be cloned though the encoder's tensors are there: the released weights
    /// without voice cloning hold an encoder that is not the real one.
    pub no_voice_cloning: Option<String>,
}

/// How a model is run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Where it computes.
    pub device: DeviceKind,
    /// Threads of the CPU devices; one per available core when `None`.
    pub threads: Option<usize>,
    /// Where its streams lease their state from; a pool of its own when `None`.
    pub memory_pool: Option<MemoryPool>,
}

/// A model that is ready to speak. Cheap to clone; one model serves many threads.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) text_options: TextOptions,
    pub(crate) flow_lm: FlowLm,
    pub(crate) decoder: MimiDecoder,
    /// Loaded when a voice is cloned for the first time, or again after it was dropped.
    encoder: Mutex<Option<Arc<LoadedEncoder>>>,
    no_voice_cloning: Option<String>,
    weights: Weights,
    placement: Placement,
    /// Where streams keep their state.
    pub(crate) memory: StateMemory,
    device: DeviceKind,
    pub(crate) threads: Threads,
    /// The prepared weights, counted.
    _ledger: LedgerEntry,
}

/// The voice encoder, counted.
#[derive(Debug)]
pub(crate) struct LoadedEncoder {
    encoder: MimiEncoder,
    _ledger: LedgerEntry,
}

/// Bytes of a model's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSize {
    /// Numbers in all tensors, the voice encoder's among them.
    pub parameters: u64,
    /// Tensors as they are stored.
    pub stored_bytes: u64,
    /// FlowLM's prepared weights.
    pub flow_lm_bytes: usize,
    /// The decoder's prepared weights.
    pub decoder_bytes: usize,
    /// The voice encoder's prepared weights; `None` while it is not loaded.
    pub encoder_bytes: Option<usize>,
    /// Keys and values of one position, all layers.
    pub kv_bytes_per_position: usize,
}

impl Model {
    /// Checks and loads a model.
    ///
    /// # Errors
    ///
    /// The weights or the tokenizer do not fit the config, or the device cannot be had.
    pub fn load(parts: ModelParts, options: RunOptions) -> Result<Self> {
        let _span = tracing::info_span!("load").entered();
        let ModelParts {
            config,
            weights,
            tokenizer,
            no_voice_cloning,
        } = parts;
        let bins = config.flow_lm.lookup_table.n_bins;
        if tokenizer.vocab_size() != bins {
            return Err(Error::VocabularyMismatch {
                found: tokenizer.vocab_size(),
                expected: bins,
            });
        }
        let has_encoder = weights.check(&config)?;
        let no_voice_cloning = no_voice_cloning.or_else(|| {
            (!has_encoder).then(|| "the weights file does not hold the voice encoder".to_owned())
        });
        let device = options.device.open()?;
        let placement = Placement::new(&device);
        let mut threads = Threads::start(options.threads)?;
        let (flow_lm, decoder) = threads.all().install(|| -> Result<_> {
            Ok((
                FlowLm::load(&weights, &config, &placement)?,
                MimiDecoder::load(&weights, &config, &placement)?,
            ))
        })?;
        let prepared = flow_lm.bytes() + decoder.bytes();
        threads.suit(prepared)?;
        let pool = options.memory_pool.unwrap_or_default();
        Ok(Self {
            shared: Arc::new(Shared {
                text_options: TextOptions {
                    pad_with_spaces_for_short_inputs: config.pad_with_spaces_for_short_inputs,
                    remove_semicolons: config.remove_semicolons,
                    append_terminal_punctuation: config.append_terminal_punctuation,
                    capitalize_first_letter: config.capitalize_first_letter,
                    replace_characters: config.replace_characters.clone(),
                },
                config,
                tokenizer: Arc::new(tokenizer),
                flow_lm,
                decoder,
                encoder: Mutex::new(None),
                no_voice_cloning,
                weights,
                memory: StateMemory::new(pool, placement.device()),
                placement,
                device: options.device,
                threads,
                _ledger: LedgerEntry::prepared(prepared),
            }),
        })
    }

    /// Its config.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Where it computes.
    pub fn device(&self) -> DeviceKind {
        self.shared.device
    }

    /// Threads it computes with.
    pub fn threads(&self) -> usize {
        self.shared.threads.count()
    }

    /// Samples a second of what it speaks.
    pub fn sample_rate_hz(&self) -> u32 {
        // Checked to be at most 2^20 when the config was read.
        self.shared.config.mimi.sample_rate as u32
    }

    /// Samples of one frame.
    pub fn frame_samples(&self) -> usize {
        self.shared.config.mimi.frame_samples()
    }

    /// Why it cannot clone voices; `None` when it can.
    pub fn no_voice_cloning(&self) -> Option<&str> {
        self.shared.no_voice_cloning.as_deref()
    }

    /// The device that its tensors are on, to lease others of its pool there.
    pub fn tensor_device(&self) -> &Device {
        self.shared.placement.device()
    }

    /// The pool that its streams lease their state from.
    pub fn memory_pool(&self) -> &MemoryPool {
        self.shared.memory.pool()
    }

    /// Bytes of its parts.
    pub fn size(&self) -> ModelSize {
        let shared = &self.shared;
        let heads = shared.flow_lm.heads();
        ModelSize {
            parameters: shared.weights.parameters(),
            stored_bytes: shared.weights.stored_bytes(),
            flow_lm_bytes: shared.flow_lm.bytes(),
            decoder_bytes: shared.decoder.bytes(),
            encoder_bytes: self.loaded_encoder().map(|encoder| encoder.bytes()),
            kv_bytes_per_position: shared.flow_lm.layers()
                * 2
                * heads.kv_width()
                * size_of::<f32>(),
        }
    }

    /// Loads a voice from a `.safetensors` state.
    ///
    /// # Errors
    ///
    /// The file is missing, damaged, or was made for another model.
    pub fn load_voice(&self, path: &Path) -> Result<Voice> {
        self.read_voice(&Directory::open(path)?, path)
    }

    /// Loads a voice from the bytes of a `.safetensors` state; `name` stands for them in messages.
    ///
    /// # Errors
    ///
    /// As [`Self::load_voice`].
    pub fn voice_from_static(&self, bytes: &'static [u8], name: &Path) -> Result<Voice> {
        self.read_voice(&Directory::from_static(bytes, name)?, name)
    }

    fn read_voice(&self, file: &Directory, path: &Path) -> Result<Voice> {
        let shape = VoiceShape {
            layers: self.shared.flow_lm.layers(),
            heads: *self.shared.flow_lm.heads(),
        };
        let kv = VoiceKv::read(file, path, &shape, &self.shared.placement)?;
        Ok(Voice { kv: Arc::new(kv) })
    }

    /// Makes a voice of somebody's speech, after resampling it and ending it on a pause. With
    /// `truncate`, only its first 30 seconds are heard.
    ///
    /// # Errors
    ///
    /// The audio is empty or damaged, or the model cannot clone voices.
    pub fn clone_voice(&self, speech: &Audio, truncate: bool) -> Result<Voice> {
        let _span = tracing::info_span!("encode_voice").entered();
        let encoder = self.encoder()?;
        let prompt = prepare_voice_prompt(speech, self.sample_rate_hz(), truncate)?;
        self.shared.threads.all().install(|| {
            let Shared {
                flow_lm, memory, ..
            } = &*self.shared;
            let latents = encoder.encode(prompt.samples(), memory)?;
            let mut state = flow_lm.state(Arc::new(VoiceKv::empty()), memory)?;
            flow_lm.prompt_voice(&mut state, encoder.conditioning(latents))?;
            Ok(Voice {
                kv: Arc::new(voice_of(&state)),
            })
        })
    }

    /// Writes a voice to a `.safetensors` state: beside the target first, then renamed into place.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn export_voice(&self, voice: &Voice, path: &Path) -> Result<()> {
        voice.kv.write(path)
    }

    /// Starts to speak. Audio comes in chunks as it is made.
    ///
    /// # Errors
    ///
    /// The text is empty or a setting is out of range.
    pub fn stream(
        &self,
        voice: &Voice,
        text: &str,
        options: &GenerateOptions,
    ) -> Result<SpeechStream> {
        self.stream_within(voice, text, options, None)
    }

    /// Starts to speak within a limit on memory.
    ///
    /// # Errors
    ///
    /// As [`Self::stream`], or [`Error::MemoryLimitTooLow`]. A stream that exceeds the limit on the way,
    /// because something else took memory, ends with [`Error::MemoryLimitExceeded`].
    pub fn stream_within(
        &self,
        voice: &Voice,
        text: &str,
        options: &GenerateOptions,
        limit: Option<MemoryLimit>,
    ) -> Result<SpeechStream> {
        SpeechStream::start(self, voice, text, options, limit)
    }

    /// Drops the voice encoder, if it is loaded and no voice is being cloned. It is loaded again when the
    /// next one is. Returns the bytes of its prepared weights.
    pub fn drop_voice_encoder(&self) -> u64 {
        let mut loaded = self.lock_encoder();
        match loaded.take() {
            Some(encoder) if Arc::strong_count(&encoder) == 1 => encoder.encoder.bytes() as u64,
            // Somebody is using it.
            kept => {
                *loaded = kept;
                0
            }
        }
    }

    fn lock_encoder(&self) -> MutexGuard<'_, Option<Arc<LoadedEncoder>>> {
        let encoder = &self.shared.encoder;
        encoder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaded_encoder(&self) -> Option<Arc<LoadedEncoder>> {
        self.lock_encoder().clone()
    }

    pub(crate) fn encoder(&self) -> Result<Arc<LoadedEncoder>> {
        let shared = &self.shared;
        if let Some(reason) = &shared.no_voice_cloning {
            return Err(Error::NoVoiceEncoder(reason.clone()));
        }
        // Held while it is loaded, so that it is never there twice.
        let mut loaded = self.lock_encoder();
        if let Some(loaded) = &*loaded {
            return Ok(loaded.clone());
        }
        let encoder = shared
            .threads
            .all()
            .install(|| MimiEncoder::load(&shared.weights, &shared.config, &shared.placement))?;
        let encoder = Arc::new(LoadedEncoder {
            _ledger: LedgerEntry::prepared(encoder.bytes()),
            encoder,
        });
        *loaded = Some(encoder.clone());
        Ok(encoder)
    }
}

impl std::ops::Deref for LoadedEncoder {
    type Target = MimiEncoder;

    fn deref(&self) -> &MimiEncoder {
        &self.encoder
    }
}

/// The keys and values of a state, as a voice.
pub(crate) fn voice_of(state: &FlowLmState) -> VoiceKv {
    let layers: Vec<Tensor<5>> = state
        .layers()
        .iter()
        .filter_map(|layer| layer.contiguous())
        .collect();
    VoiceKv {
        len: layers.first().map_or(0, |layer| layer.dims()[2]),
        layers,
    }
}
