//! The report of the suite `speed`.

use serde::{Deserialize, Serialize};

use crate::{LoadAverage, Spread};

/// Everything that the suite measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Cores of the machine.
    pub cores: usize,
    /// Load averages of the system.
    pub load_average: LoadAverage,
    /// The limits of the machine, one entry for each number of threads.
    pub machine: Vec<Machine>,
    /// One entry for each model and number of threads.
    pub cases: Vec<Case>,
    /// The Python package, one entry for each model; empty if it was not measured.
    #[serde(default)]
    pub reference: Vec<Reference>,
}

/// The limits of the machine for a number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Threads.
    pub threads: usize,
    /// Memory read per second, in units of 1,000,000,000 bytes.
    pub gigabytes_per_second: f64,
    /// Additions and multiplications per second in f32 matrix products, in units of 1,000,000,000.
    pub gflop_per_second: f64,
}

/// A model at a number of threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Name of the model.
    pub model: String,
    /// Threads.
    pub threads: usize,
    /// Path of the model's config.
    pub config: String,
    /// Path of the voice.
    pub voice: String,
    /// The text that is generated.
    pub text: String,
    /// The text whose first audio is timed.
    pub short_text: String,
    /// Frames of the text's audio.
    pub frames: usize,
    /// Length of the text's audio.
    pub audio_seconds: f64,
    /// Seconds of audio per second of generation.
    pub times_real_time: Option<Spread>,
    /// Time per frame.
    pub frame_ms: Option<Spread>,
    /// FlowLM's share of the time per frame.
    pub flow_lm_frame_ms: Option<Spread>,
    /// The decoder's share of the time per frame.
    pub mimi_frame_ms: Option<Spread>,
    /// Time to the first audio of the short text.
    pub first_audio_ms: Option<Spread>,
    /// Time to load the model and the voice.
    pub load_ms: Option<Spread>,
    /// Peak RSS of the process.
    pub peak_rss_bytes: Option<u64>,
    /// The lower bound of the cost of a frame.
    pub limit: FrameLimit,
}

/// The lower bound of the cost of a frame on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameLimit {
    /// Bytes of FlowLM's weights that every frame reads.
    pub flow_lm_bytes: u64,
    /// Additions and multiplications of Mimi's decoder.
    pub mimi_flops: u64,
    /// Time per frame.
    pub frame_ms: f64,
    /// Seconds of audio per second.
    pub times_real_time: f64,
}

/// The Python package on a model; it chooses its number of threads itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Name of the model; `reference.py` does not print it.
    #[serde(default)]
    pub model: String,
    /// Length of the text's audio.
    pub audio_seconds: f64,
    /// Seconds of audio per second of generation.
    pub times_real_time: Option<Spread>,
    /// Time to the first audio of the short text.
    pub first_audio_ms: Option<Spread>,
    /// Time to import the package.
    pub import_ms: f64,
    /// Time to load the model and the voice.
    pub load_ms: Option<Spread>,
    /// Peak RSS of the process.
    pub peak_rss_bytes: Option<u64>,
}
