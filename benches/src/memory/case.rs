//! What a process does and measures.

use serde::{Deserialize, Serialize};

use super::{Figures, Task};
use super::{cloning, cycles, generation, leases, limits, loading, long_text, streaming};
use crate::Result;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Case {
    /// Loads a model and its voice.
    Loading,
    /// Speaks a text of one part, from the call to the whole audio.
    Generation,
    /// Speaks it as a stream.
    Streaming,
    /// Watches the engine's pool while it speaks, and leases by itself.
    Leases,
    /// Makes cycles of references, finds them and breaks them.
    Cycles,
    /// Looks for cycles after real speech.
    CyclesInSpeech,
    /// Speaks a text of several parts.
    LongText {
        /// Parts that are spoken at once.
        at_once: usize,
    },
    /// Makes a voice of a recording.
    Cloning,
    /// Speaks a text of several parts under a limit; measures nothing where that is refused.
    Limit {
        /// In units of 1,048,576 bytes.
        megabytes: u64,
    },
    /// Says what such a text is predicted to take.
    Prediction,
}

impl Case {
    /// Its name in reports.
    pub fn name(self) -> String {
        match self {
            Self::Loading => "model loading".to_owned(),
            Self::Generation => "generation".to_owned(),
            Self::Streaming => "streaming".to_owned(),
            Self::Leases => "pool effectiveness".to_owned(),
            Self::Cycles => "reference cycles".to_owned(),
            Self::CyclesInSpeech => "cycles in speech".to_owned(),
            Self::LongText { at_once } => format!("long text, {at_once} at once"),
            Self::Cloning => "voice cloning".to_owned(),
            Self::Limit { megabytes } => format!("limit of {megabytes} MiB"),
            Self::Prediction => "prediction".to_owned(),
        }
    }

    /// Does it, in this process.
    pub(super) fn measure(self, task: &Task) -> Result<Figures> {
        match self {
            Self::Loading => loading::measure(task),
            Self::Generation => generation::measure(task),
            Self::Streaming => streaming::measure(task),
            Self::Leases => leases::measure(task),
            Self::Cycles => cycles::measure(),
            Self::CyclesInSpeech => cycles::measure_in_speech(task),
            Self::LongText { at_once } => long_text::measure(task, at_once),
            Self::Cloning => cloning::measure(task),
            Self::Limit { megabytes } => limits::measure(task, megabytes),
            Self::Prediction => limits::predict(task),
        }
    }
}
