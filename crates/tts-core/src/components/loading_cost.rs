//! The memory of loading a model.

use super::dry_runs;
use crate::config::Config;
use crate::weights::Weights;

/// Names, shapes, and tables of threads and pools.
const BOOKKEEPING_BYTES: u64 = 1 << 20;

/// The memory of loading FlowLM and the decoder: an upper bound over all devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadingCost {
    /// Prepared weights.
    pub prepared_bytes: u64,
    /// Tables that stay mapped.
    pub mapped_bytes: u64,
    /// Peak while the model is loaded.
    pub peak_bytes: u64,
    /// What remains in use.
    pub loaded_bytes: u64,
}

impl LoadingCost {
    /// Computes the memory from the sizes of the tensors in a dry run. Weights that are part of the
    /// program are not counted as mapped.
    pub(crate) fn of(config: &Config, weights: &Weights) -> Self {
        let [flow_lm, decoder, _] = dry_runs(config);
        let prepared_bytes = (flow_lm.prepared_bytes() + decoder.prepared_bytes()) as u64;
        let peak_bytes = flow_lm
            .peak_bytes()
            .max(flow_lm.prepared_bytes() + decoder.peak_bytes()) as u64;
        let (mapped_bytes, stored_bytes) = match weights.is_static() {
            true => (0, 0),
            false => (
                (flow_lm.table_bytes() + decoder.table_bytes()) as u64,
                weights.largest_tensor_bytes(),
            ),
        };
        Self {
            prepared_bytes,
            mapped_bytes,
            // While a tensor is prepared, it is also mapped.
            peak_bytes: peak_bytes + mapped_bytes + stored_bytes + BOOKKEEPING_BYTES,
            loaded_bytes: prepared_bytes + mapped_bytes + BOOKKEEPING_BYTES,
        }
    }
}
