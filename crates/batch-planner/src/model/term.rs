use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One thing that takes memory.
///
/// ```
/// use batch_planner::Term;
///
/// let cache = Term::new("cache").per_item(4096).per_item_step(128);
/// assert_eq!(cache.bytes(3, 10)?, 3 * (4096 + 10 * 128));
/// # Ok::<(), batch_planner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// What it is called where memory is itemised.
    pub name: String,
    /// Bytes that are there whatever the batch.
    pub fixed_bytes: u64,
    /// Bytes for each item of the batch.
    pub bytes_per_item: u64,
    /// Bytes for each step of each item.
    pub bytes_per_item_step: u64,
    /// Steps are allocated in pages of so many: a length is rounded up to whole pages. 1 where
    /// each step is allocated by itself.
    pub page_steps: NonZeroU64,
}

impl Term {
    /// A term that takes nothing yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            fixed_bytes: 0,
            bytes_per_item: 0,
            bytes_per_item_step: 0,
            page_steps: NonZeroU64::MIN,
        }
    }

    /// The same with so many bytes that are there whatever the batch.
    #[must_use]
    pub fn fixed(self, fixed_bytes: u64) -> Self {
        Self {
            fixed_bytes,
            ..self
        }
    }

    /// The same with so many bytes for each item.
    #[must_use]
    pub fn per_item(self, bytes_per_item: u64) -> Self {
        Self {
            bytes_per_item,
            ..self
        }
    }

    /// The same with so many bytes for each step of each item.
    #[must_use]
    pub fn per_item_step(self, bytes_per_item_step: u64) -> Self {
        Self {
            bytes_per_item_step,
            ..self
        }
    }

    /// The same with steps that are allocated in pages of `page_steps`.
    #[must_use]
    pub fn paged(self, page_steps: NonZeroU64) -> Self {
        Self { page_steps, ..self }
    }

    /// What the term takes, in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] above `u64::MAX`.
    pub fn bytes(&self, batch_size: u64, sequence_length: u64) -> Result<u64> {
        let items = match batch_size {
            0 => Some(0),
            _ => self
                .item_bytes(sequence_length)
                .and_then(|bytes| bytes.checked_mul(batch_size)),
        };
        items
            .and_then(|bytes| bytes.checked_add(self.fixed_bytes))
            .ok_or_else(|| {
                Error::overflow(format!(
                    "the memory of \"{}\" for batch size {batch_size} at length \
                     {sequence_length}, in bytes,",
                    self.name
                ))
            })
    }

    /// What one item adds to what is fixed, in bytes; `None` above `u64::MAX`.
    pub(crate) fn item_bytes(&self, sequence_length: u64) -> Option<u64> {
        let growing = match self.bytes_per_item_step {
            // Whatever the length is rounded to, even if that overflows.
            0 => 0,
            bytes => sequence_length
                .checked_next_multiple_of(self.page_steps.get())?
                .checked_mul(bytes)?,
        };
        growing.checked_add(self.bytes_per_item)
    }
}
