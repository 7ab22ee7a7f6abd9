use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::{MemoryModel, Term};
use crate::{Error, Result};

/// The dimensions of a transformer that determine the memory of its weights and its KV cache.
///
/// ```
/// use std::num::NonZeroU64;
/// use batch_planner::{MIB, SlidingWindow, Term, TransformerDimensions};
///
/// // 7 billion parameters of 2 bytes, 32 layers of 8 KV heads of 128, a cache of 16 bits per value.
/// let dimensions = TransformerDimensions {
///     weight_bytes: 14_000_000_000,
///     layers: 32,
///     sliding_window: None,
///     kv_heads: 8,
///     head_dimension: 128,
///     bits_per_value: 16,
///     page_positions: NonZeroU64::new(16).unwrap(),
/// };
/// // Scratch memory depends on the kernels, so it is a separate term.
/// let model = dimensions.memory_model()?.with(Term::new("scratch").fixed(300 * MIB));
/// assert_eq!(model.terms()[1].bytes_per_item_position, 128 << 10);
///
/// // The same with 4 bits per value, and 27 of the layers with a window of 1024 positions.
/// let window = SlidingWindow { layers: 27, positions: NonZeroU64::new(1024).unwrap() };
/// let dimensions = TransformerDimensions {
///     layers: 5,
///     sliding_window: Some(window),
///     bits_per_value: 4,
///     ..dimensions
/// };
/// let cache_bytes = dimensions.memory_model()?.bytes(1, 8192)? - 14_000_000_000;
/// assert_eq!(cache_bytes, (5 * 8192 + 27 * 1024) * 1024);
/// # Ok::<(), batch_planner::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformerDimensions {
    /// The size of all weights in memory, in bytes.
    pub weight_bytes: u64,
    /// The number of layers that cache all positions.
    pub layers: u64,
    /// The layers that cache only the last positions, in addition to `layers`.
    pub sliding_window: Option<SlidingWindow>,
    /// The number of key heads (and of value heads) in a layer. Smaller than the number of query
    /// heads if query heads share them.
    pub kv_heads: u64,
    /// The number of elements in a head.
    pub head_dimension: u64,
    /// The size of a cached element, in bits: 16 in half precision, 4 or 8 if the cache is quantised.
    /// Scales of quantised blocks are not included: round up, or add a term for them.
    pub bits_per_value: u64,
    /// The number of positions by which the cache grows; 1 if it is not paged.
    pub page_positions: NonZeroU64,
}

/// Layers with sliding-window attention, which cache a limited number of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlidingWindow {
    /// The number of such layers.
    pub layers: u64,
    /// The number of positions that each of them caches.
    pub positions: NonZeroU64,
}

impl TransformerDimensions {
    /// Returns the bytes that each position of an item adds to the caches of all layers, as long as it is
    /// inside the window: a key and a value for each layer and head, rounded up to whole bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] above `u64::MAX`.
    pub fn cache_bytes_per_position(&self) -> Result<u64> {
        let windowed = self.sliding_window.map_or(0, |window| window.layers);
        self.cache_bytes(self.layers)?
            .checked_add(self.cache_bytes(windowed)?)
            .ok_or_else(overflow)
    }

    /// Returns a model with the terms `"weights"` and `"KV cache"`, and `"KV cache, windowed"` if some
    /// layers have a window.
    ///
    /// Scratch memory, inputs and outputs depend on the program. Add terms for them.
    ///
    /// # Errors
    ///
    /// The same as [`TransformerDimensions::cache_bytes_per_position`].
    pub fn memory_model(&self) -> Result<MemoryModel> {
        let cache = |name, layers| {
            let term = Term::new(name).per_item_position(self.cache_bytes(layers)?);
            Ok::<_, Error>(term.paged(self.page_positions))
        };
        let model = MemoryModel::new()
            .with(Term::new("weights").fixed(self.weight_bytes))
            .with(cache("KV cache", self.layers)?);
        Ok(match self.sliding_window {
            None => model,
            Some(window) => {
                let term = cache("KV cache, windowed", window.layers)?;
                model.with(term.windowed(window.positions))
            }
        })
    }

    /// Returns the bytes that each position of an item adds to the caches of `layers` layers.
    fn cache_bytes(&self, layers: u64) -> Result<u64> {
        let factors = [self.kv_heads, self.head_dimension, self.bits_per_value, 2];
        let bits = factors.iter().try_fold(u128::from(layers), |bits, factor| {
            bits.checked_mul(u128::from(*factor))
        });
        bits.and_then(|bits| u64::try_from(bits.div_ceil(8)).ok())
            .ok_or_else(overflow)
    }
}

fn overflow() -> Error {
    Error::overflow("the cache in bytes of one position")
}
