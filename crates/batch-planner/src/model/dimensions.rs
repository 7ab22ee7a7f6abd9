use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::{MemoryModel, Term};
use crate::{Error, Result};

/// The dimensions of a transformer that determine the memory of its weights and its KV cache.
///
/// ```
/// use std::num::NonZeroU64;
/// use batch_planner::{MIB, Term, TransformerDimensions};
///
/// // 7 billion parameters of 2 bytes, 32 layers of 32 heads of 128.
/// let dimensions = TransformerDimensions {
///     weight_bytes: 14_000_000_000,
///     layers: 32,
///     kv_heads: 32,
///     head_dimension: 128,
///     bytes_per_value: 2,
///     page_positions: NonZeroU64::new(16).unwrap(),
/// };
/// // Scratch memory depends on the kernels, so it is a separate term.
/// let model = dimensions.memory_model()?.with(Term::new("scratch").fixed(300 * MIB));
/// assert_eq!(model.terms()[1].bytes_per_item_position, 512 << 10);
/// # Ok::<(), batch_planner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformerDimensions {
    /// The size of all weights in memory, in bytes.
    pub weight_bytes: u64,
    /// The number of layers with a KV cache.
    pub layers: u64,
    /// The number of key heads (and of value heads) in a layer. Smaller than the number of query
    /// heads if query heads share them.
    pub kv_heads: u64,
    /// The number of elements in a head.
    pub head_dimension: u64,
    /// The size of a cached element, in bytes.
    pub bytes_per_value: u64,
    /// The number of positions by which the cache grows; 1 if it is not paged.
    pub page_positions: NonZeroU64,
}

impl TransformerDimensions {
    /// Returns the bytes that each position of an item adds to the cache: a key and a value for each
    /// layer and head.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] above `u64::MAX`.
    pub fn cache_bytes_per_position(&self) -> Result<u64> {
        [self.kv_heads, self.head_dimension, self.bytes_per_value, 2]
            .iter()
            .try_fold(self.layers, |product, factor| product.checked_mul(*factor))
            .ok_or_else(|| Error::overflow("the cache in bytes of one position"))
    }

    /// Returns a model with the terms `"weights"` and `"KV cache"`.
    ///
    /// Scratch memory, inputs and outputs depend on the program. Add terms for them.
    ///
    /// # Errors
    ///
    /// The same as [`TransformerDimensions::cache_bytes_per_position`].
    pub fn memory_model(&self) -> Result<MemoryModel> {
        let cache = Term::new("KV cache")
            .per_item_position(self.cache_bytes_per_position()?)
            .paged(self.page_positions);
        Ok(MemoryModel::new()
            .with(Term::new("weights").fixed(self.weight_bytes))
            .with(cache))
    }
}
