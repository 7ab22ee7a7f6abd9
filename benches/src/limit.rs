//! A lower bound of the work per frame.

use tts_core::{Component, Config, TensorSpec, expected_tensors};

/// The lower bound of the work per frame, for any implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameCost {
    /// Size of FlowLM's weights, as f32, that every frame uses. With one stream, each weight is read once
    /// per frame; from memory, if the weights do not fit into the caches.
    pub flow_lm_bytes: u64,
    /// Additions and multiplications of Mimi's decoder, which uses its weights several times per frame.
    pub mimi_flops: u64,
}

impl FrameCost {
    /// Computes the cost per frame of a model.
    pub fn of(config: &Config) -> Self {
        let specs = expected_tensors(config);
        let flow_lm_weights: usize = specs
            .iter()
            // The text embedding is used only before the first frame.
            .filter(|spec| {
                spec.component == Component::FlowLm && !spec.name.contains(".conditioner.")
            })
            .map(elements)
            .sum();
        Self {
            flow_lm_bytes: (flow_lm_weights * size_of::<f32>()) as u64,
            mimi_flops: 2 * mimi_products(config, &specs) as u64,
        }
    }

    /// Returns the seconds per frame on a machine, if reading and computing do not overlap.
    pub fn seconds(&self, bytes_per_second: f64, flops_per_second: f64) -> f64 {
        self.flow_lm_bytes as f64 / bytes_per_second + self.mimi_flops as f64 / flops_per_second
    }
}

fn elements(spec: &TensorSpec) -> usize {
    spec.shape.iter().product()
}

/// Returns the number of multiply-add operations of Mimi's decoder per frame.
fn mimi_products(config: &Config, specs: &[TensorSpec]) -> usize {
    let mimi = &config.mimi;
    let transformer = mimi.decoder_transformer();
    let transformer_positions = mimi.steps_per_frame();
    // Queries with keys, then attention weights with values, for a full window.
    let attention = transformer.num_layers
        * transformer_positions
        * 2
        * transformer.context
        * transformer.d_model;
    // The tensors are listed in the order of computation. A weight is used once per position of its
    // output, or of its input for a transposed convolution.
    let mut positions = 1;
    let mut products = 0;
    for spec in specs
        .iter()
        .filter(|spec| spec.component == Component::Decoder)
    {
        if spec.shape.len() < 2 {
            continue;
        }
        products += elements(spec) * positions;
        if spec.name.contains(".upsample.") {
            positions = transformer_positions;
        } else if spec.name.contains(".convtr.") {
            // The kernel is twice as long as the stride.
            positions *= spec.shape[2] / 2;
        }
    }
    attention + products
}

#[cfg(test)]
mod tests {
    use super::*;
    use pocket_tts::Preset;

    #[test]
    fn cost_of_the_released_model_matches_a_count_by_hand() {
        let cost = FrameCost::of(&Preset::named("english").unwrap().config());
        // Six layers of 12 * 1024^2 weights; a flow head with six blocks of 5 * 512^2, two time
        // embeddings, and input and output projections. The rest is under one percent.
        let layers = 6 * 12 * 1024 * 1024;
        let head = 6 * 5 * 512 * 512 + 2 * 768 * 512 + 1024 * 512 + 2 * 512 * 512;
        let counted = 4 * (layers + head);
        assert!(
            (counted..counted * 101 / 100).contains(&cost.flow_lm_bytes),
            "{cost:?}"
        );
        // Two layers of 4 * 512^2 + 2 * 512 * 2048 weights, at 16 positions.
        let transformer = 2 * 16 * 2 * 3 * 1024 * 1024;
        // The last residual block: 64 channels to 32 with kernel size 3 and back, at 1920 positions. The
        // other two have the same cost per channel.
        let last_block = 2 * 1920 * (64 * 32 * 3 + 32 * 64);
        let at_least = transformer + 3 * last_block;
        assert!(
            (at_least..4 * at_least).contains(&cost.mimi_flops),
            "{cost:?}"
        );
    }

    #[test]
    fn positions_reach_the_sample_rate() {
        // The last convolution: 64 channels to one with kernel size 3, for every sample.
        let config = Preset::named("english").unwrap().config();
        let specs = expected_tensors(&config);
        let last = specs
            .iter()
            .rfind(|spec| spec.component == Component::Decoder && spec.shape.len() == 3)
            .unwrap();
        assert_eq!(last.shape, [1, 64, 3]);
        let without: Vec<_> = specs.iter().filter(|spec| *spec != last).cloned().collect();
        let all = mimi_products(&config, &specs);
        assert_eq!(
            all - mimi_products(&config, &without),
            64 * 3 * config.mimi.frame_samples()
        );
    }
}
