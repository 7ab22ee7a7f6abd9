use std::fmt;

use serde::{Deserialize, Serialize};

use bytesize::ByteSize;

/// The most that is taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peak {
    /// How much, with what is fixed, in bytes.
    pub bytes: u64,
    /// When: the first last step of a stream at which it is so much, in steps from now.
    pub at_step: u64,
}

/// Whether a stream may start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[must_use]
pub enum Admission {
    /// It may, and finishes inside the budget.
    Admit {
        /// The most that all take together while it runs.
        peak: Peak,
        /// What is left then, in bytes.
        headroom_bytes: u64,
    },
    /// It may not.
    Refuse {
        /// The most that all would take together while it runs.
        peak: Peak,
        /// How much that is above the budget, in bytes.
        shortfall_bytes: u64,
        /// The first step, from now, at which it could start and finish inside the budget if no
        /// other stream starts before; `None` if it could not even alone.
        earliest_start_step: Option<u64>,
    },
}

impl Admission {
    /// Whether it may start.
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
                "may start: at most {peak}, {} left",
                ByteSize::b(*headroom_bytes)
            ),
            Self::Refuse {
                peak,
                shortfall_bytes,
                earliest_start_step,
            } => {
                write!(
                    formatter,
                    "may not start: {peak} would be {} too much; ",
                    ByteSize::b(*shortfall_bytes)
                )?;
                match earliest_start_step {
                    Some(step) => write!(formatter, "it may at step {step}"),
                    None => write!(formatter, "it does not fit even alone"),
                }
            }
        }
    }
}
