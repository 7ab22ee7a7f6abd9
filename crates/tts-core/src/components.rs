//! The tensors of all components, and the bytes that loading them takes.

mod loading_cost;
mod voice_cost;

use crate::config::Config;
use crate::flow_lm::FlowLm;
use crate::mimi::{MimiDecoder, MimiEncoder};
use crate::weights::{Component, Loader, TensorSpec, WeightsError};

pub use loading_cost::LoadingCost;
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

/// Returns FlowLM and the decoder with their sizes, but without values.
pub(crate) fn dry_components(config: &Config) -> (FlowLm, MimiDecoder) {
    const NOTHING_IS_READ: &str = "a dry run reads nothing that could fail";
    let flow_lm = FlowLm::load(&Loader::dry_run(Component::FlowLm), config);
    let decoder = MimiDecoder::load(&Loader::dry_run(Component::Decoder), config);
    (
        flow_lm.expect(NOTHING_IS_READ),
        decoder.expect(NOTHING_IS_READ),
    )
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
