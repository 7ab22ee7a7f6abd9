use std::fmt;

use serde::{Deserialize, Serialize};

use bytesize::ByteSize;

/// The greatest memory of all streams together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peak {
    /// The memory including fixed memory, in bytes.
    pub bytes: u64,
    /// The first step of the peak, in steps from now. It is the last step of a stream.
    pub at_step: u64,
}

/// Whether a stream may start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[must_use]
pub enum Admission {
    /// The stream can start and finish inside the budget.
    Admit {
        /// The peak of all streams while the new stream runs.
        peak: Peak,
        /// The usable bytes that are free at the peak.
        headroom_bytes: u64,
    },
    /// The stream cannot start now.
    Refuse {
        /// The peak of all streams if the new stream started now.
        peak: Peak,
        /// The bytes by which the peak exceeds the budget.
        shortfall_bytes: u64,
        /// The first step, from now, at which the stream could start and finish inside the budget if
        /// no other stream starts before. `None` if the stream does not fit even alone.
        earliest_start_step: Option<u64>,
    },
}

impl Admission {
    /// Whether the stream may start now.
    pub fn is_admitted(&self) -> bool {
        matches!(self, Self::Admit { .. })
    }
}

impl fmt::Display for Peak {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} at step {}",
            ByteSize::b(self.bytes),
            self.at_step
        )
    }
}

impl fmt::Display for Admission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admit {
                peak,
                headroom_bytes,
            } => write!(
                formatter,
                "admitted: the peak is {peak}, {} are free",
                ByteSize::b(*headroom_bytes)
            ),
            Self::Refuse {
                peak,
                shortfall_bytes,
                earliest_start_step,
            } => {
                write!(
                    formatter,
                    "refused: the peak of {peak} exceeds the budget by {}; ",
                    ByteSize::b(*shortfall_bytes)
                )?;
                match earliest_start_step {
                    Some(step) => write!(formatter, "the earliest start is step {step}"),
                    None => write!(formatter, "the stream does not fit even alone"),
                }
            }
        }
    }
}
