use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{MemoryModel, Share};
use bytesize::ByteSize;

/// How much memory there is, how much of it stays free, and what takes it.
///
/// ```
/// use batch_planner::{MIB, MemoryBudget, MemoryModel, Share};
///
/// let budget = MemoryBudget::new(1000 * MIB, MemoryModel::new()).with_margin(Share::percent(5)?);
/// assert_eq!(budget.usable_bytes(), 950 * MIB);
/// # Ok::<(), batch_planner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryBudget {
    /// All the memory there is, in bytes: what the model's fixed terms take is part of it.
    pub limit_bytes: u64,
    /// The share of the limit that is kept free.
    pub margin: Share,
    /// What takes the memory.
    pub model: MemoryModel,
}

impl MemoryBudget {
    /// A budget without a margin: the limit is the caller's own number, and what should stay free
    /// of it is for the caller to say.
    pub fn new(limit_bytes: u64, model: MemoryModel) -> Self {
        Self {
            limit_bytes,
            margin: Share::NONE,
            model,
        }
    }

    /// The same with another margin.
    #[must_use]
    pub fn with_margin(self, margin: Share) -> Self {
        Self { margin, ..self }
    }

    /// The limit less the margin (rounded up), in bytes.
    pub fn usable_bytes(&self) -> u64 {
        self.margin.rest_of(self.limit_bytes)
    }
}

impl fmt::Display for MemoryBudget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", ByteSize::b(self.limit_bytes))?;
        if self.margin > Share::NONE {
            write!(
                formatter,
                " less {}: {}",
                self.margin,
                ByteSize::b(self.usable_bytes())
            )?;
        }
        Ok(())
    }
}
