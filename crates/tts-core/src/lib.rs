//! Pocket TTS on [Burn](burn): the model, from text to audio.
//!
//! This crate reads configs, weights, tokenizers and voices, and generates speech with them. Its
//! results match those of Kyutai's `pocket-tts` for the same files. It does not access the network,
//! the environment or a command line: the crate `pocket-tts` finds and downloads files.
//!
//! ```
//! use std::path::Path;
//! use tts_core::text::{Tokenizer, TokenizerFormat};
//! use tts_core::{Config, GenerateOptions, Model, ModelParts, RunOptions, SpeechRequest, Weights};
//!
//! # fn main() -> tts_core::Result<()> {
//! // A small model with random weights, whose speech is noise.
//! let folder = Path::new("tests/fixtures/parity");
//! let tokenizer = folder.join("tokenizer.model");
//! let bytes = std::fs::read(&tokenizer).expect("the file exists");
//! let parts = ModelParts {
//!     config: Config::read(&folder.join("lsd/config.yaml"))?,
//!     weights: Weights::open(&folder.join("lsd/model.safetensors"))?,
//!     tokenizer: Tokenizer::from_bytes(TokenizerFormat::SentencePiece, &bytes, &tokenizer)?,
//!     no_voice_cloning: None,
//! };
//! let model = Model::load(parts, RunOptions::default())?;
//! let voice = model.load_voice(folder.join("lsd/voice.safetensors"))?;
//!
//! let options = GenerateOptions::default();
//! let text = model.prepare("Hello world.", &options)?;
//! for chunk in model.stream(SpeechRequest::new(voice, text, options))? {
//!     println!("{} more samples", chunk?.samples().len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | purpose |
//! |---|---|---|
//! | `flex` | yes | the CPU, with prepared weights and fused kernels |
//! | `ndarray` | | the CPU, through Burn's ndarray backend |
//! | `wgpu` | | GPUs, through Vulkan, Metal or DirectX 12 |
//! | `futures` | | `futures_core::Stream` for [`SpeechStream`] |
//! | `leak-detect` | | `leak_detect::Trace` for [`Model`], [`Voice`], [`PreparedText`], [`SpeechRequest`], [`SpeechStream`], [`CancelToken`] and [`memory::Ledger`] |
//!
//! # Shapes
//!
//! Activations are `[batch, time, channel]`. A *frame* is one latent and its audio, a *position* is one
//! place in a transformer's sequence, and a *token* is a piece of text.

pub mod audio;
mod cancel;
mod components;
pub mod config;
mod device;
mod engine;
pub mod error;
mod flow_lm;
mod kv;
mod ledger;
mod mimi;
mod model;
mod noise;
mod ops;
mod options;
mod output_file;
#[cfg(test)]
mod parity;
mod scheduler;
mod state;
mod stream;
pub mod text;
mod threads;
mod traced;
mod transformer;
mod voice;
mod weights;

/// Memory of speech: counting, prediction and limits.
///
/// *Counted* bytes are live heap allocations, memory-mapped weights and device memory in use. Limits and
/// predictions apply to them.
pub mod memory {
    pub use crate::components::{VoiceCost, VoiceNeed};
    pub use crate::ledger::{
        Counted, KV_CACHE_TAG, Ledger, Limit, LimitOrigin, MemoryError, Reclaim, SystemLimit,
    };
    pub use crate::stream::{StreamCost, StreamNeed};
}

pub use audio::Audio;
pub use cancel::{CancelToken, Cancelled};
pub use components::expected_tensors;
pub use config::Config;
pub use device::{DeviceError, DeviceKind};
pub use engine::{ModelParts, ModelSize, RunOptions};
pub use error::{Error, ErrorKind, InvalidSetting, Result, StreamError};
pub use ledger::MemoryError;
pub use model::Model;
pub use options::{GenerateOptions, VoiceOptions};
pub use output_file::OutputFile;
pub use scheduler::Progress;
pub use stream::{Interrupted, SpeechRequest, SpeechStream};
pub use text::{PreparedText, Segment};
pub use threads::ThreadsError;
pub use voice::{Voice, VoiceError};
pub use weights::{Component, TensorSpec, WeightMismatch, Weights, WeightsError};

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
