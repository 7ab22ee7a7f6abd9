//! The least work that one frame of speech takes.

use tts_core::{Component, Config, TensorSpec, expected_tensors};

/// What one frame costs at least, whatever the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameCost {
    /// FlowLM's weights that take part in every frame, as f32. At one stream each is read once a
    /// frame, and where they do not fit into the caches that means from memory.
    pub flow_lm_bytes: u64,
    /// Additions and multiplications of Mimi's decoder. Its weights are used several times a frame.
    pub mimi_flops: u64,
}

impl FrameCost {
    /// The cost of one frame of a model.
    pub fn of(config: &Config) -> Self {
        let specs = expected_tensors(config);
        let flow_lm_weights: usize = specs
            .iter()
            // The tables of text are used before the first frame.
            .filter(|spec| {
                spec.component == Component::FlowLm && !spec.name.contains(".conditioner.")
            })
            .map(numbers)
            .sum();
        Self {
            flow_lm_bytes: (flow_lm_weights * size_of::<f32>()) as u64,
            mimi_flops: 2 * mimi_products(config, &specs) as u64,
        }
    }

    /// Seconds that a machine needs for it, if it reads and computes one after the other at its best.
    pub fn seconds(&self, bytes_per_second: f64, flops_per_second: f64) -> f64 {
        self.flow_lm_bytes as f64 / bytes_per_second + self.mimi_flops as f64 / flops_per_second
    }
}

fn numbers(spec: &TensorSpec) -> usize {
    spec.shape.iter().product()
}

/// Products that Mimi's decoder adds up for one frame.
fn mimi_products(config: &Config, specs: &[TensorSpec]) -> usize {
    let mimi = &config.mimi;
    let transformer = mimi.decoder_transformer();
    let transformer_steps = mimi.steps_per_frame();
    // Queries with keys, then their weights with values, once the window is full.
    let attention =
        transformer.num_layers * transformer_steps * 2 * transformer.context * transformer.d_model;
    // The tensors are listed in the order of the computation. A weight is used once for each step
    // of its output, or of its input where the convolution is a transposed one.
    let mut steps = 1;
    let mut products = 0;
    for spec in specs
        .iter()
        .filter(|spec| spec.component == Component::Decoder)
    {
        if spec.shape.len() < 2 {
            continue;
        }
        products += numbers(spec) * steps;
        if spec.name.contains(".upsample.") {
            steps = transformer_steps;
        } else if spec.name.contains(".convtr.") {
            // Its kernel is twice as long as its stride.
            steps *= spec.shape[2] / 2;
        }
    }
    attention + products
}

#[cfg(test)]
mod tests {
    use super::*;
    use pocket_tts::Preset;

    #[test]
    fn the_released_models_cost_is_what_was_counted_by_hand() {
        let cost = FrameCost::of(&Preset::named("english").unwrap().config());
        // Six layers of 12 * 1024^2 weights; a flow head with six blocks of 5 * 512^2, two embeddings
        // of times, and a projection at either end. All else is under one percent.
        let layers = 6 * 12 * 1024 * 1024;
        let head = 6 * 5 * 512 * 512 + 2 * 768 * 512 + 1024 * 512 + 2 * 512 * 512;
        let counted = 4 * (layers + head);
        assert!(
            (counted..counted * 101 / 100).contains(&cost.flow_lm_bytes),
            "{cost:?}"
        );
        // Two layers of 4 * 512^2 + 2 * 512 * 2048 weights, at 16 steps.
        let transformer = 2 * 16 * 2 * 3 * 1024 * 1024;
        // The last residual block: 64 channels to 32 over three steps and back, 1920 times; the
        // other two at the same cost per channel.
        let last_block = 2 * 1920 * (64 * 32 * 3 + 32 * 64);
        let at_least = transformer + 3 * last_block;
        assert!(
            (at_least..4 * at_least).contains(&cost.mimi_flops),
            "{cost:?}"
        );
    }

    #[test]
    fn the_steps_reach_the_sample_rate() {
        // The last convolution: 64 filters to one channel over three samples, for every sample.
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
