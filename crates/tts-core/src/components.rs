//! The tensors of all components, and the bytes that loading them takes.

mod voice_cost;

use crate::config::Config;
use crate::flow_lm::FlowLm;
use crate::mimi::{MimiDecoder, MimiEncoder};
use crate::weights::{Component, Loader, TensorSpec, WeightsError};

pub use voice_cost::{VoiceCost, VoiceNeed};

/// Returns the tensors that a weights file must hold for `config`, in the order of loading.
///
/// A file may omit all tensors of [`Component::VoiceEncoder`] together.
#[must_use]
pub fn expected_tensors(config: &Config) -> Vec<TensorSpec> {
    dry_runs(config)
        .into_iter()
        .flat_map(Loader::into_specs)
        .collect()
}

/// Returns the bytes that loading FlowLM and the decoder takes at its peak: the prepared weights, the
/// tables that stay in their file, and three copies of the largest tensor (as stored, as f32, and in
/// the order of the kernels).
pub(crate) fn loading_bytes(config: &Config) -> u64 {
    let [flow_lm, decoder, _] = dry_runs(config);
    let (mut retained, mut largest) = (0, 0);
    for loader in [flow_lm, decoder] {
        retained += loader.prepared_bytes() + loader.table_bytes();
        for spec in loader.into_specs() {
            largest = largest.max(spec.shape.iter().product::<usize>());
        }
    }
    (retained + 3 * largest * size_of::<f32>()) as u64
}

/// Loads every component in a dry run.
fn dry_runs(config: &Config) -> [Loader<'static>; 3] {
    let run = |component, load: fn(&Loader<'_>, &Config) -> Result<(), WeightsError>| {
        let loader = Loader::dry_run(component);
        load(&loader, config).expect("a dry run reads nothing that could fail");
        loader
    };
    [
        run(Component::FlowLm, |loader, config| {
            FlowLm::load(loader, config).map(drop)
        }),
        run(Component::Decoder, |loader, config| {
            MimiDecoder::load(loader, config).map(drop)
        }),
        run(Component::VoiceEncoder, |loader, config| {
            MimiEncoder::load(loader, config).map(drop)
        }),
    ]
}
