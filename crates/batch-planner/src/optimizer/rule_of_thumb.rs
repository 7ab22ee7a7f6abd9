//! What a transformer takes when only its size is known; explained at
//! [`BatchSizeOptimizer::for_model_size`](super::BatchSizeOptimizer::for_model_size).

use crate::search::greatest;
use crate::{Error, MIB, MemoryModel, Result, Term};

/// The size assumed of a model of which nothing is known, in MB of 1,048,576 bytes: 262 million
/// weights of 2 bytes. A convention, kept from the Python API whose method names
/// [`BatchSizeOptimizer`](super::BatchSizeOptimizer) has.
pub const DEFAULT_MODEL_SIZE_MB: u64 = 500;

/// Bytes of a weight, and of a cached value: half precision, in which models are mostly run.
const BYTES_PER_VALUE: u128 = 2;

/// Weights of a layer, in squares of its width: four matrices of attention and two of four times
/// the width (Kaplan et al. 2020, section 2.1).
const WEIGHTS_PER_LAYER: u128 = 12;

/// Width over layers; lower than in nearly all published models, so that the cache comes out
/// high rather than low.
const WIDTH_PER_LAYER: u128 = 32;

/// Above the greatest width of any model of `u64::MAX` bytes, and its cube fits `u128`.
const MAX_WIDTH: u64 = 1 << 32;

pub(super) fn memory_model(model_size_bytes: u64) -> MemoryModel {
    let width = width(model_size_bytes);
    // Of `12 x layers x width²` values, `2 x layers x width` are cached at each step.
    let cache = u128::from(model_size_bytes).div_ceil(WEIGHTS_PER_LAYER / 2 * u128::from(width));
    MemoryModel::new()
        .with(Term::new("weights").fixed(model_size_bytes))
        // At most the model's size, which is a `u64`.
        .with(Term::new("cache").per_item_step(cache as u64))
}

/// The width of which `12 x (width / 32) x width²` are the parameters, rounded down; at least 1.
fn width(model_size_bytes: u64) -> u64 {
    let parameters = u128::from(model_size_bytes) / BYTES_PER_VALUE;
    let has_more =
        |width: u64| u128::from(width).pow(3) * WEIGHTS_PER_LAYER <= parameters * WIDTH_PER_LAYER;
    greatest(1..=MAX_WIDTH, has_more).unwrap_or(1)
}

pub(super) fn bytes_of_mb(mb: u64, what: &str) -> Result<u64> {
    mb.checked_mul(MIB)
        .ok_or_else(|| Error::overflow(format!("{what} of {mb} MB, in bytes,")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights and cache per step of published models with one key and value head for each query
    /// head, in half precision: parameters, layers, width.
    const PUBLISHED: [(u64, u64, u64); 5] = [
        (124_000_000, 12, 768),     // GPT-2
        (355_000_000, 24, 1024),    // GPT-2 medium
        (1_558_000_000, 48, 1600),  // GPT-2 XL
        (6_738_000_000, 32, 4096),  // LLaMA 7B
        (13_016_000_000, 40, 5120), // LLaMA 13B
    ];

    #[test]
    fn published_models_cache_no_more_than_the_rule_says() {
        for (parameters, layers, width) in PUBLISHED {
            let real = 2 * layers * width * 2;
            let rule = memory_model(2 * parameters).terms()[1].bytes_per_item_step;
            assert!(
                (real..real * 3).contains(&rule),
                "{parameters}: {rule}, real {real}"
            );
        }
    }

    #[test]
    fn a_model_of_the_default_size_caches_97_kib_a_step() {
        let model = memory_model(DEFAULT_MODEL_SIZE_MB * MIB);
        assert_eq!(model.terms()[1].bytes_per_item_step.div_ceil(1024), 97);
    }

    #[test]
    fn any_size_has_a_rule() {
        for size in [0, 1, u64::MAX] {
            assert_eq!(memory_model(size).terms()[0].fixed_bytes, size);
        }
    }
}
