use std::fmt;

use serde::{Deserialize, Serialize};

use bytesize::ByteSize;

/// The greatest memory of all streams together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peak {
    /// The memory including fixed memory, in bytes.
    pub bytes: u64,
    /// The time of the peak: the positions by which each running stream has advanced from now. The first
    /// such time if several are equal. A stream ends at this time.
    pub after_positions: u64,
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
        /// The first time, in positions from now, at which the stream could start and finish inside the
        /// budget if no other stream starts before. `None` if the stream does not fit even alone.
        earliest_start_after_positions: Option<u64>,
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
            "{} after {} positions",
            ByteSize::b(self.bytes),
            self.after_positions
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
                earliest_start_after_positions,
            } => {
                write!(
                    formatter,
                    "refused: the peak of {peak} exceeds the budget by {}; ",
                    ByteSize::b(*shortfall_bytes)
                )?;
                match earliest_start_after_positions {
                    Some(positions) => {
                        write!(
                            formatter,
                            "the earliest start is after {positions} positions"
                        )
                    }
                    None => write!(formatter, "the stream does not fit even alone"),
                }
            }
        }
    }
}
