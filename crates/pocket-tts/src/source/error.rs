//! Errors of model sources and voice names.

use std::io;
use std::path::PathBuf;

/// A model or a voice could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A local file does not exist or cannot be read.
    #[error("cannot open {}", path.display())]
    LocalFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// A file has to be downloaded, and this build has no downloads.
    #[error(
        "{location} has to be downloaded, and this program was built without downloads; build it \
         with the feature `hub`, or pass the path of a local copy"
    )]
    NoDownloads {
        /// The file.
        location: String,
    },

    /// A config names no weights.
    #[error(
        "the config of {model} names no weights; add `weights_path`, or both \
         `flow_lm.weights_path` and `mimi.weights_path`"
    )]
    NoWeights {
        /// The model, as it appears in messages.
        model: String,
    },

    /// A voice is neither a known name nor a file.
    #[error(
        "no voice is named {name:?} and there is no such file; {model} accepts {}a recording (WAV, \
         FLAC, MP3 or OGG) or a .safetensors voice made for it, each as a path or as an https:// or \
         hf:// address",
        if known.is_empty() { String::new() } else { format!("the names {}, ", known.join(", ")) },
    )]
    UnknownVoice {
        /// The requested voice.
        name: String,
        /// The model, as it appears in messages.
        model: String,
        /// The model's voice names.
        known: Vec<String>,
    },

    /// A predefined voice of the released models was requested from another model.
    #[error(
        "the voice {name:?} was made for the released models and does not fit {model}; load a \
         released model, such as \"english\", or use a recording of the speaker{}",
        if known.is_empty() {
            String::new()
        } else {
            format!(" or a voice of this model: {}", known.join(", "))
        },
    )]
    VoiceOfReleasedModels {
        /// The requested voice.
        name: String,
        /// The model, as it appears in messages.
        model: String,
        /// The model's voice names.
        known: Vec<String>,
    },
}
