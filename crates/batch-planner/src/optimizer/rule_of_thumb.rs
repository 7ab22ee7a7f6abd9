//! The memory of a transformer of which only the size is known. The rule is explained at
//! [`BatchSizeOptimizer::for_model_size`](super::BatchSizeOptimizer::for_model_size).

use crate::length::greatest;
use crate::{Error, MIB, MemoryModel, Result, Term};

/// The default size of a model, in MB of 1,048,576 bytes: 262 million parameters of 2 bytes. The
/// value is a convention of the Python API that [`BatchSizeOptimizer`](super::BatchSizeOptimizer)
/// follows.
pub const DEFAULT_MODEL_SIZE_MB: u64 = 500;

/// Bytes of a parameter and of a cached element. Most models run in half precision.
const BYTES_PER_VALUE: u128 = 2;

/// Parameters of a layer divided by the square of its width: four attention matrices and two
/// matrices of four times the width (Kaplan et al. 2020, section 2.1).
const WEIGHTS_PER_LAYER: u128 = 12;

/// Width divided by the number of layers. Lower than in nearly all published models, so that the
/// estimated cache is rather too large than too small.
const WIDTH_PER_LAYER: u128 = 32;

/// Greater than the width of any model of `u64::MAX` bytes. The cube fits `u128`.
const MAX_WIDTH: u64 = 1 << 32;

pub(super) fn memory_model(model_size_bytes: u64) -> MemoryModel {
    let width = width(model_size_bytes);
    // The model has `12 x layers x width²` parameters and caches `2 x layers x width` elements per
    // position.
    let cache = u128::from(model_size_bytes).div_ceil(WEIGHTS_PER_LAYER / 2 * u128::from(width));
    MemoryModel::new()
        .with(Term::new("weights").fixed(model_size_bytes))
        // The cast is lossless: the cache is at most the model's size, which is a `u64`.
        .with(Term::new("cache").per_item_position(cache as u64))
}

/// Returns the width for which `12 x (width / 32) x width²` is the number of parameters, rounded
/// down; at least 1.
fn width(model_size_bytes: u64) -> u64 {
    let parameters = u128::from(model_size_bytes) / BYTES_PER_VALUE;
    let fits =
        |width: u64| u128::from(width).pow(3) * WEIGHTS_PER_LAYER <= parameters * WIDTH_PER_LAYER;
    greatest(1..=MAX_WIDTH, fits).unwrap_or(1)
}

pub(super) fn bytes_of_mb(mb: u64, what: &str) -> Result<u64> {
    mb.checked_mul(MIB)
        .ok_or_else(|| Error::overflow(format!("{what} of {mb} MB in bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters, layers and width of published models with one key and value head per query head.
    const PUBLISHED: [(u64, u64, u64); 5] = [
        (124_000_000, 12, 768),     // GPT-2
        (355_000_000, 24, 1024),    // GPT-2 medium
        (1_558_000_000, 48, 1600),  // GPT-2 XL
        (6_738_000_000, 32, 4096),  // LLaMA 7B
        (13_016_000_000, 40, 5120), // LLaMA 13B
    ];

    #[test]
    fn estimated_cache_is_not_below_published_models() {
        for (parameters, layers, width) in PUBLISHED {
            let real = 2 * layers * width * 2;
            let rule = memory_model(2 * parameters).terms()[1].bytes_per_item_position;
            assert!(
                (real..real * 3).contains(&rule),
                "{parameters}: {rule}, real {real}"
            );
        }
    }

    #[test]
    fn default_model_size_caches_97_kib_per_position() {
        let model = memory_model(DEFAULT_MODEL_SIZE_MB * MIB);
        assert_eq!(model.terms()[1].bytes_per_item_position.div_ceil(1024), 97);
    }

    #[test]
    fn accepts_every_model_size() {
        for size in [0, 1, u64::MAX] {
            assert_eq!(memory_model(size).terms()[0].fixed_bytes, size);
        }
    }
}
