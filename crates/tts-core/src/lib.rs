//! Pocket TTS on [Burn](burn): the model, from text to audio.
//!
//! This crate reads configs, weights, tokenizers and voices, and speaks. It never reads the
//! network, the environment or a command line: where files come from is its caller's business.

pub mod audio;
pub mod config;
mod device;
pub mod error;
mod flow_lm;
mod kv;
mod mimi;
mod model;
mod noise;
mod ops;
mod options;
#[cfg(test)]
mod parity;
mod stream;
pub mod text;
mod threads;
mod transformer;
mod voice;
mod weights;

pub use audio::Audio;
pub use config::Config;
pub use device::DeviceKind;
pub use error::{Error, Result};
pub use model::{Model, ModelParts, ModelSize, RunOptions};
pub use options::GenerateOptions;
pub use stream::{Progress, SpeechStream};
pub use voice::Voice;
pub use weights::{Part, TensorSpec, Weights, expected_tensors};
