//! The measured cases.

use serde::{Deserialize, Serialize};

use super::{Figures, Task};
use super::{cloning, cycles, generation, leases, limits, loading, long_text, streaming};
use crate::Result;

/// The work of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Case {
    /// Loads a model and its voice.
    Loading,
    /// Generates the audio of a text of one segment.
    Generation,
    /// Generates the same text as a stream.
    Streaming,
    /// Measures the pool of the model during generation, and the cost of a lease.
    Leases,
    /// Creates, finds and breaks reference cycles.
    Cycles,
    /// Looks for reference cycles after generation.
    CyclesInSpeech,
    /// Generates the audio of a text of several segments.
    LongText {
        /// Segments that are generated together.
        batch_size: usize,
    },
    /// Clones a voice from a recording.
    Cloning,
    /// Generates the audio of a text of several segments under a limit. Without figures if the limit is too
    /// low.
    Limit {
        /// The limit in units of 1,048,576 bytes.
        megabytes: u64,
    },
    /// Predicts the memory of such a text.
    Prediction,
}

impl Case {
    /// Returns the name in reports.
    pub fn name(self) -> String {
        match self {
            Self::Loading => "model loading".to_owned(),
            Self::Generation => "generation".to_owned(),
            Self::Streaming => "streaming".to_owned(),
            Self::Leases => "pool effectiveness".to_owned(),
            Self::Cycles => "reference cycles".to_owned(),
            Self::CyclesInSpeech => "cycles in speech".to_owned(),
            Self::LongText { batch_size } => format!("long text, batch size {batch_size}"),
            Self::Cloning => "voice cloning".to_owned(),
            Self::Limit { megabytes } => format!("limit of {megabytes} MiB"),
            Self::Prediction => "prediction".to_owned(),
        }
    }

    /// Runs the case in this process.
    pub(super) fn measure(self, task: &Task) -> Result<Figures> {
        match self {
            Self::Loading => loading::measure(task),
            Self::Generation => generation::measure(task),
            Self::Streaming => streaming::measure(task),
            Self::Leases => leases::measure(task),
            Self::Cycles => cycles::measure(),
            Self::CyclesInSpeech => cycles::measure_in_speech(task),
            Self::LongText { batch_size } => long_text::measure(task, batch_size),
            Self::Cloning => cloning::measure(task),
            Self::Limit { megabytes } => limits::measure(task, megabytes),
            Self::Prediction => limits::predict(task),
        }
    }
}
