//! The components of a loaded model, shared by all streams that use it.

mod voices;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::Device;

use crate::components::expected_tensors;
use crate::config::Config;
use crate::device::DeviceKind;
use crate::error::{Error, Result};
use crate::flow_lm::FlowLm;
use crate::ledger::{Ledger, LedgerEntry};
use crate::mimi::{MimiDecoder, MimiEncoder};
use crate::ops::Backend;
use crate::state::StateMemory;
use crate::text::{TextOptions, Tokenizer};
use crate::threads::{STREAM_THREADS, Threads};
use crate::voice::VoiceError;
use crate::weights::{Component, Loader, Weights};

/// The opened files that a model is loaded from.
#[derive(Debug)]
pub struct ModelParts {
    /// Sizes and text rules.
    pub config: Config,
    /// The tensors.
    pub weights: Weights,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The reason why voices cannot be cloned although the encoder's tensors are present. The
    /// released weights without voice cloning contain a placeholder encoder.
    pub no_voice_cloning: Option<String>,
}

impl ModelParts {
    /// Returns an upper bound of the bytes that loading the model needs.
    #[must_use]
    pub fn loading_bytes(&self) -> u64 {
        /// Names, shapes and tables of threads and pools.
        const BOOKKEEPING_BYTES: u64 = 1 << 20;
        crate::components::loading_bytes(&self.config) + BOOKKEEPING_BYTES
    }
}

/// Settings that a model is loaded with.
///
/// ```
/// use tts_core::{DeviceKind, RunOptions};
///
/// let options = RunOptions::default().with_device(DeviceKind::Flex).with_threads(2);
/// assert_eq!(options.threads, Some(2));
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RunOptions {
    /// The device.
    pub device: DeviceKind,
    /// Threads of the CPU devices; one per available core when `None`.
    pub threads: Option<usize>,
    /// The ledger of the process; a new one when `None`.
    pub ledger: Option<Ledger>,
    /// Limit of the process's counted bytes while the model is loaded, in addition to the ledger's.
    pub memory_limit_bytes: Option<u64>,
}

impl RunOptions {
    /// Sets the device.
    #[must_use]
    pub fn with_device(self, device: DeviceKind) -> Self {
        Self { device, ..self }
    }

    /// Sets the number of threads of the CPU devices.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self {
            threads: Some(threads),
            ..self
        }
    }

    /// Sets the ledger of the process.
    #[must_use]
    pub fn with_ledger(self, ledger: Ledger) -> Self {
        Self {
            ledger: Some(ledger),
            ..self
        }
    }

    /// Sets the limit of the process's counted bytes while the model is loaded.
    #[must_use]
    pub fn with_memory_limit_bytes(self, memory_limit_bytes: u64) -> Self {
        Self {
            memory_limit_bytes: Some(memory_limit_bytes),
            ..self
        }
    }
}

/// Sizes of a model's components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSize {
    /// Elements of all tensors, including the voice encoder's.
    pub parameters: u64,
    /// Bytes of the tensors as stored.
    pub stored_bytes: u64,
    /// Bytes of FlowLM's prepared weights.
    pub flow_lm_bytes: u64,
    /// Bytes of the Mimi decoder's prepared weights.
    pub decoder_bytes: u64,
    /// Bytes of the voice encoder's prepared weights; `None` while it is not loaded.
    pub encoder_bytes: Option<u64>,
    /// Keys and values of one position in all layers.
    pub position_kv_bytes: u64,
}

/// The internals of a [`Model`](crate::Model).
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) text_options: TextOptions,
    pub(crate) flow_lm: FlowLm,
    pub(crate) decoder: MimiDecoder,
    /// Loaded on first use, and again on the first use after it was dropped.
    encoder: Mutex<Option<Arc<LoadedEncoder>>>,
    no_voice_cloning: Option<String>,
    weights: Weights,
    backend: Backend,
    flow_lm_bytes: usize,
    decoder_bytes: usize,
    /// Leases the state of streams.
    pub(crate) memory: StateMemory,
    device: DeviceKind,
    pub(crate) threads: Threads,
    _prepared: LedgerEntry,
}

/// The voice encoder and its entry in the ledger.
#[derive(Debug)]
pub(crate) struct LoadedEncoder {
    encoder: MimiEncoder,
    bytes: usize,
    _prepared: LedgerEntry,
}

impl std::ops::Deref for LoadedEncoder {
    type Target = MimiEncoder;

    fn deref(&self) -> &MimiEncoder {
        &self.encoder
    }
}

impl Engine {
    /// Checks the files of a model against its config and loads its components.
    pub(crate) fn load(parts: ModelParts, options: RunOptions) -> Result<Self> {
        let _span = tracing::info_span!("load").entered();
        let loading_bytes = parts.loading_bytes();
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
        let has_encoder = weights.check(&expected_tensors(&config))?;
        let no_voice_cloning = no_voice_cloning.or_else(|| {
            (!has_encoder).then(|| "the weights file does not contain the voice encoder".to_owned())
        });
        let ledger = options.ledger.unwrap_or_default();
        let mut admission = ledger.admit(
            options.memory_limit_bytes,
            "loading the model",
            loading_bytes,
            Threads::planned(options.threads) + STREAM_THREADS,
        )?;
        let device = options.device.open()?;
        let backend = Backend::new(&device);
        let mut threads = Threads::start(options.threads)?;
        let ((flow_lm, flow_lm_bytes), (decoder, decoder_bytes)) =
            threads.all().install(|| -> Result<_> {
                let loader = Loader::new(&weights, Component::FlowLm, &backend, &ledger);
                let flow_lm = FlowLm::load(&loader, &config)?;
                let flow_lm_bytes = loader.prepared_bytes();
                admission.release(flow_lm_bytes as u64);
                let loader = Loader::new(&weights, Component::Decoder, &backend, &ledger);
                let decoder = MimiDecoder::load(&loader, &config)?;
                Ok(((flow_lm, flow_lm_bytes), (decoder, loader.prepared_bytes())))
            })?;
        let prepared = flow_lm_bytes + decoder_bytes;
        threads.adapt_to(prepared)?;
        Ok(Self {
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
            _prepared: LedgerEntry::prepared(&ledger, prepared),
            memory: StateMemory::new(ledger, backend.device()),
            backend,
            flow_lm_bytes,
            decoder_bytes,
            device: options.device,
            threads,
        })
    }

    pub(crate) fn device(&self) -> DeviceKind {
        self.device
    }

    /// The device that tensors are on.
    pub(crate) fn tensor_device(&self) -> &Device {
        self.backend.device()
    }

    /// The reason why the model cannot clone voices.
    pub(crate) fn no_voice_cloning(&self) -> Option<&str> {
        self.no_voice_cloning.as_deref()
    }

    pub(crate) fn sample_rate_hz(&self) -> u32 {
        // The config reader checks that it is at most 2^20.
        self.config.mimi.sample_rate as u32
    }

    /// Samples of one frame.
    pub(crate) fn frame_samples(&self) -> usize {
        self.config.mimi.frame_samples()
    }

    pub(crate) fn size(&self) -> ModelSize {
        let kv_elements = self.flow_lm.layers() * 2 * self.flow_lm.heads().kv_width();
        ModelSize {
            parameters: self.weights.parameters(),
            stored_bytes: self.weights.stored_bytes(),
            flow_lm_bytes: self.flow_lm_bytes as u64,
            decoder_bytes: self.decoder_bytes as u64,
            encoder_bytes: self.loaded_encoder().map(|encoder| encoder.bytes as u64),
            position_kv_bytes: (kv_elements * size_of::<f32>()) as u64,
        }
    }

    /// Checks that the model can clone voices.
    fn check_voice_cloning(&self) -> Result<()> {
        match &self.no_voice_cloning {
            Some(reason) => Err(VoiceError::NoEncoder(reason.clone()).into()),
            None => Ok(()),
        }
    }

    /// Returns the voice encoder and loads it first if necessary.
    pub(crate) fn encoder(&self) -> Result<Arc<LoadedEncoder>> {
        self.check_voice_cloning()?;
        // The lock is held during loading, so that the encoder is never loaded twice.
        let mut loaded = self.lock_encoder();
        if let Some(loaded) = &*loaded {
            return Ok(loaded.clone());
        }
        let (encoder, bytes) = self.threads.all().install(|| -> Result<_> {
            let loader = Loader::new(
                &self.weights,
                Component::VoiceEncoder,
                &self.backend,
                self.memory.ledger(),
            );
            let encoder = MimiEncoder::load(&loader, &self.config)?;
            Ok((encoder, loader.prepared_bytes()))
        })?;
        let encoder = Arc::new(LoadedEncoder {
            _prepared: LedgerEntry::prepared(self.memory.ledger(), bytes),
            encoder,
            bytes,
        });
        *loaded = Some(encoder.clone());
        Ok(encoder)
    }

    /// Bytes of the voice encoder's prepared weights if it is loaded and not in use.
    pub(crate) fn unused_encoder_bytes(&self) -> u64 {
        let loaded = self.lock_encoder();
        let unused = loaded
            .as_ref()
            .filter(|encoder| Arc::strong_count(encoder) == 1);
        unused.map_or(0, |encoder| encoder.bytes as u64)
    }

    /// Drops the voice encoder unless it is in use, and returns the bytes of its prepared weights.
    pub(crate) fn drop_voice_encoder(&self) -> u64 {
        let mut loaded = self.lock_encoder();
        match loaded.take() {
            Some(encoder) if Arc::strong_count(&encoder) == 1 => encoder.bytes as u64,
            in_use => {
                *loaded = in_use;
                0
            }
        }
    }

    fn lock_encoder(&self) -> MutexGuard<'_, Option<Arc<LoadedEncoder>>> {
        self.encoder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaded_encoder(&self) -> Option<Arc<LoadedEncoder>> {
        self.lock_encoder().clone()
    }
}

// The components and the weights own only tensors, files and entries of the ledger.
crate::traced::trace_fields!(Engine: tokenizer, encoder, memory, _prepared);
crate::traced::trace_fields!(LoadedEncoder: _prepared);
