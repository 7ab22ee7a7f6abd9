//! Text to speech on the user's own machine.
//!
//! ```
//! # #[cfg(feature = "builtin-voice")] {
//! use pocket_tts::{GenerateOptions, TtsModel};
//!
//! let model = TtsModel::builtin()?;
//! let voice = model.default_voice()?;
//! let audio = model.generate(&voice, "Hello world.", &GenerateOptions::default())?;
//! # let folder = std::env::temp_dir().join(format!("pocket-tts-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let path = folder.join("hello.wav");
//! # #[cfg(any())]
//! let path = "hello.wav";
//! audio.write_wav(path.as_ref())?;
//! # std::fs::remove_dir_all(folder).unwrap();
//! # }
//! # Ok::<(), pocket_tts::Error>(())
//! ```
//!
//! This crate finds the files of models and voices, downloads those that are missing, and hands them
//! to [`tts-core`](tts_core), which does the speaking. [`TtsModel`] is where to start: the built-in
//! model needs no download, [`TtsModel::from_preset`] loads Kyutai's released ones, and
//! [`TtsModel::from_config`] loads your own.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `flex` | yes | the CPU, with prepared weights and fused kernels |
//! | `ndarray` | | the CPU, through Burn's ndarray backend |
//! | `wgpu` | | GPUs |
//! | `builtin-voice` | yes | a small English model and its voice, 10 MB in the program |
//! | `hub` | yes | downloads of released models and voices |

mod error;
#[cfg(feature = "hub")]
pub mod hub;
mod info;
mod location;
pub mod memory;
mod model;
mod preset;
mod source;
mod voice;
mod voice_cache;

pub use error::{Error, Result};
pub use info::ModelInfo;
pub use location::{Location, LocationError};
pub use model::{LoadOptions, TtsModel};
pub use preset::{PREDEFINED_VOICES, Preset, UnknownName, predefined_voice, voice_location};
pub use source::{ModelSource, NamedVoice, SourceError};
pub use tts_core::{
    Audio, Config, DeviceKind, Error as CoreError, GenerateOptions, MemoryLimitExceeded, ModelSize,
    PartSize, Progress, SpeechRequest, SpeechStream, Voice, audio, config,
};
