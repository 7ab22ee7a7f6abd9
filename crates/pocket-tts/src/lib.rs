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
//! audio.write_wav(path)?;
//! # std::fs::remove_dir_all(folder).unwrap();
//! # }
//! # Ok::<(), pocket_tts::Error>(())
//! ```
//!
//! This crate finds the files of models and voices, downloads missing ones, and passes them to
//! [`tts-core`](tts_core), which generates the speech. Start with [`TtsModel`]: the built-in model needs
//! no download, [`TtsModel::from_preset`] loads Kyutai's released models, and
//! [`TtsModel::from_config`] loads a model of your own. The module [`memory`] measures, plans and limits
//! memory.
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `flex` | yes | CPU device with prepared weights and fused kernels |
//! | `ndarray` | | CPU device of Burn's ndarray backend |
//! | `wgpu` | | GPU devices |
//! | `builtin-voice` | yes | a small English model and its voice in the program |
//! | `hub` | yes | downloads of released models and voices |
//! | `futures` | | `futures_core::Stream` for speech |

mod error;
#[cfg(feature = "hub")]
pub mod hub;
mod info;
mod location;
pub mod memory;
mod model;
mod preset;
mod source;
mod speech;
mod voice;
mod voice_cache;

pub use error::{Error, Result};
pub use info::ModelInfo;
pub use location::{Location, LocationError};
pub use model::{LoadOptions, TtsModel};
pub use preset::{PREDEFINED_VOICES, Preset, UnknownName, predefined_voice, voice_location};
pub use source::{ModelSource, NamedVoice, SourceError};
pub use speech::{Interrupted, SpeechStream, SpeechText};
pub use tts_core::{
    Audio, Config, DeviceError, DeviceKind, Error as CoreError, ErrorKind, GenerateOptions,
    MemoryError, ModelSize, PreparedText, Progress, Segment, SpeechRequest, ThreadsError, Voice,
    VoiceError, WeightsError, audio, config,
};

/// Compiles the example of the project's README.
#[cfg(all(doctest, feature = "builtin-voice"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
