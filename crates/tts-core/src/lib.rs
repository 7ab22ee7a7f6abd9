//! Pocket TTS on [Burn](burn): the model, from text to audio.
//!
//! This crate reads configs, weights, tokenizers and voices, and speaks: [`Model::load`], then
//! [`Model::load_voice`] or [`Model::clone_voice`], then [`Model::stream`] or [`Model::generate`].
//! It computes what Kyutai's `pocket-tts` computes with the same files.
//!
//! It never reads the network, the environment or a command line: where files come from is its
//! caller's business. The crate `pocket-tts` finds and downloads them.
//!
//! ```
//! use std::path::Path;
//! use tts_core::text::{Tokenizer, TokenizerFormat};
//! use tts_core::{Config, GenerateOptions, Model, ModelParts, RunOptions, Weights};
//!
//! # fn main() -> tts_core::Result<()> {
//! // A small model with random weights, which babbles.
//! let folder = Path::new("tests/fixtures/parity");
//! let tokenizer = folder.join("tokenizer.model");
//! let bytes = std::fs::read(&tokenizer).expect("the file is there");
//! let parts = ModelParts {
//!     config: Config::read(&folder.join("lsd/config.yaml"))?,
//!     weights: Weights::open(&folder.join("lsd/model.safetensors"))?,
//!     tokenizer: Tokenizer::from_bytes(TokenizerFormat::SentencePiece, &bytes, &tokenizer)?,
//!     no_voice_cloning: None,
//! };
//! let model = Model::load(parts, RunOptions::default())?;
//! let voice = model.load_voice(&folder.join("lsd/voice.safetensors"))?;
//!
//! for chunk in model.stream(&voice, "Hello world.", &GenerateOptions::default())? {
//!     println!("{} samples more", chunk?.samples().len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | device |
//! |---|---|---|
//! | `flex` | yes | the CPU, with prepared weights and fused kernels |
//! | `ndarray` | | the CPU, through Burn's ndarray backend |
//! | `wgpu` | | GPUs, through Vulkan, Metal or DirectX 12 |
//!
//! # Shapes
//!
//! Activations are `[batch, time, channel]`. What the names of axes mean: a *frame* is one latent
//! and the audio it stands for, a *step* is one position of a transformer, a *token* a piece of
//! text.

pub mod audio;
pub mod config;
mod device;
pub mod error;
mod flow_lm;
mod kv;
mod ledger;
pub mod memory;
mod mimi;
mod model;
mod noise;
mod ops;
mod options;
mod output_file;
#[cfg(test)]
mod parity;
mod state;
mod stream;
pub mod text;
mod threads;
mod transformer;
mod voice;
mod weights;

pub use audio::Audio;
pub use config::Config;
pub use device::DeviceKind;
pub use error::{Error, MemoryLimitExceeded, Result};
pub use model::{Model, ModelParts, ModelSize, RunOptions};
pub use options::GenerateOptions;
pub use stream::{PartSize, Progress, SpeechRequest, SpeechStream};
pub use voice::Voice;
pub use weights::{Part, TensorSpec, Weights, expected_tensors};
