use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A named part of a program's memory, such as weights or a cache.
///
/// ```
/// use batch_planner::Term;
///
/// let cache = Term::new("cache").per_item(4096).per_item_position(128);
/// assert_eq!(cache.bytes(3, 10)?, 3 * (4096 + 10 * 128));
/// # Ok::<(), batch_planner::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The name in itemised reports.
    pub name: String,
    /// Bytes that do not depend on the batch.
    pub fixed_bytes: u64,
    /// Bytes per item of the batch.
    pub bytes_per_item: u64,
    /// Bytes per position of each item.
    pub bytes_per_item_position: u64,
    /// The number of positions in a page. Lengths are rounded up to whole pages. 1 without pages.
    pub page_positions: NonZeroU64,
    /// The length from which an item no longer grows, such as the window of sliding-window attention.
    /// `None` if items always grow.
    #[serde(default)]
    pub window_positions: Option<NonZeroU64>,
}

impl Term {
    /// Returns a term of 0 bytes.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            fixed_bytes: 0,
            bytes_per_item: 0,
            bytes_per_item_position: 0,
            page_positions: NonZeroU64::MIN,
            window_positions: None,
        }
    }

    /// Sets the bytes that do not depend on the batch.
    #[must_use]
    pub fn fixed(self, fixed_bytes: u64) -> Self {
        Self {
            fixed_bytes,
            ..self
        }
    }

    /// Sets the bytes per item.
    #[must_use]
    pub fn per_item(self, bytes_per_item: u64) -> Self {
        Self {
            bytes_per_item,
            ..self
        }
    }

    /// Sets the bytes per position of each item.
    #[must_use]
    pub fn per_item_position(self, bytes_per_item_position: u64) -> Self {
        Self {
            bytes_per_item_position,
            ..self
        }
    }

    /// Sets the number of positions in a page.
    #[must_use]
    pub fn paged(self, page_positions: NonZeroU64) -> Self {
        Self {
            page_positions,
            ..self
        }
    }

    /// Sets the length from which an item no longer grows.
    ///
    /// ```
    /// use std::num::NonZeroU64;
    /// use batch_planner::Term;
    ///
    /// // A ring of 1000 positions.
    /// let ring = Term::new("ring").per_item_position(64).windowed(NonZeroU64::new(1000).unwrap());
    /// assert_eq!(ring.bytes(1, 400)?, 400 * 64);
    /// assert_eq!(ring.bytes(1, 5000)?, 1000 * 64);
    /// # Ok::<(), batch_planner::Error>(())
    /// ```
    #[must_use]
    pub fn windowed(self, window_positions: NonZeroU64) -> Self {
        Self {
            window_positions: Some(window_positions),
            ..self
        }
    }

    /// Returns the memory of the term, in bytes.
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
                    "the memory in bytes of \"{}\" for batch size {batch_size} at length \
                     {sequence_length}",
                    self.name
                ))
            })
    }

    /// Returns the memory of one item without fixed memory, in bytes; `None` above `u64::MAX`.
    pub(crate) fn item_bytes(&self, sequence_length: u64) -> Option<u64> {
        self.growing_bytes(sequence_length)?
            .checked_add(self.bytes_per_item)
    }

    /// Returns the memory of one item that depends on its length, in bytes; `None` above `u64::MAX`.
    pub(crate) fn growing_bytes(&self, sequence_length: u64) -> Option<u64> {
        if self.bytes_per_item_position == 0 {
            // The rounded length does not matter, so its overflow is not an error.
            return Some(0);
        }
        let window = self.window_positions.map_or(u64::MAX, NonZeroU64::get);
        sequence_length
            .min(window)
            .checked_next_multiple_of(self.page_positions.get())?
            .checked_mul(self.bytes_per_item_position)
    }
}
