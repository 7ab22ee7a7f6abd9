use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::{MemoryModel, Term};
use crate::{Error, Result};

/// The numbers of a transformer that decide what its weights and its key and value cache take.
///
/// ```
/// use std::num::NonZeroU64;
/// use batch_planner::{MIB, Term, TransformerDimensions};
///
/// // Seven thousand million weights of 2 bytes, 32 layers of 32 heads of 128.
/// let dimensions = TransformerDimensions {
///     weight_bytes: 14_000_000_000,
///     layers: 32,
///     kv_heads: 32,
///     head_dimension: 128,
///     bytes_per_value: 2,
///     page_steps: NonZeroU64::new(16).unwrap(),
/// };
/// // What its kernels need besides is known only to who wrote them.
/// let model = dimensions.memory_model()?.with(Term::new("scratch").fixed(300 * MIB));
/// assert_eq!(model.terms()[1].bytes_per_item_step, 512 << 10);
/// # Ok::<(), batch_planner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformerDimensions {
    /// All weights, as they lie in memory, in bytes.
    pub weight_bytes: u64,
    /// Layers with a cache.
    pub layers: u64,
    /// Heads of keys (and as many of values) in a layer: fewer than heads of queries where those
    /// share them.
    pub kv_heads: u64,
    /// Values in a head.
    pub head_dimension: u64,
    /// Bytes that a cached value takes.
    pub bytes_per_value: u64,
    /// Steps that the cache grows by at a time; 1 if it grows by single steps.
    pub page_steps: NonZeroU64,
}

impl TransformerDimensions {
    /// What a step of one item adds to the cache, in bytes: a key and a value for each layer and
    /// head.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] above `u64::MAX`.
    pub fn cache_bytes_per_step(&self) -> Result<u64> {
        [self.kv_heads, self.head_dimension, self.bytes_per_value, 2]
            .iter()
            .try_fold(self.layers, |product, factor| product.checked_mul(*factor))
            .ok_or_else(|| Error::overflow("the cache of one step, in bytes,"))
    }

    /// A model of two terms, `"weights"` and `"KV cache"`.
    ///
    /// What a program needs besides (scratch, inputs, outputs) depends on how it is written: add a
    /// term for it.
    ///
    /// # Errors
    ///
    /// As [`TransformerDimensions::cache_bytes_per_step`].
    pub fn memory_model(&self) -> Result<MemoryModel> {
        let cache = Term::new("KV cache")
            .per_item_step(self.cache_bytes_per_step()?)
            .paged(self.page_steps);
        Ok(MemoryModel::new()
            .with(Term::new("weights").fixed(self.weight_bytes))
            .with(cache))
    }
}
