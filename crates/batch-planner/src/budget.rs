use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{MemoryModel, Share};
use bytesize::ByteSize;

/// A memory limit, a margin that stays free, and the model of the memory.
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
    /// The limit in bytes. It applies to the whole model, including the fixed terms.
    pub limit_bytes: u64,
    /// The share of the limit that stays free.
    pub margin: Share,
    /// The memory of the program.
    pub model: MemoryModel,
}

impl MemoryBudget {
    /// Returns a budget without a margin. Set one with [`MemoryBudget::with_margin`].
    pub fn new(limit_bytes: u64, model: MemoryModel) -> Self {
        Self {
            limit_bytes,
            margin: Share::NONE,
            model,
        }
    }

    /// Sets the margin.
    #[must_use]
    pub fn with_margin(self, margin: Share) -> Self {
        Self { margin, ..self }
    }

    /// Returns the limit minus the margin, in bytes. The margin is rounded up.
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
                " minus {}: {}",
                self.margin,
                ByteSize::b(self.usable_bytes())
            )?;
        }
        Ok(())
    }
}
