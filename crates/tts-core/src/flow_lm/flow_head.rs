//! The flow: a small MLP with adaptive normalisation that carries noise to a latent (Li et al.,
//! 2024, "Autoregressive Image Generation without Vector Quantization").

use burn::tensor::Tensor;

use crate::config::{Config, FlowType};
use crate::error::Result;
use crate::ops::{Activation, LayerNorm, Linear, Placement, gated_add, modulate, tensor_from};
use crate::weights::Scope;

/// Epsilon of the head's layer normalisations, as the models were trained.
const NORM_EPSILON: f32 = 1e-6;
/// Epsilon of the normalisation after a time's embedding, as the models were trained.
const TIME_NORM_EPSILON: f32 = 1e-5;

#[derive(Debug)]
pub(super) struct FlowHead {
    kind: FlowType,
    input: Linear,
    condition: Linear,
    times: Vec<TimeEmbedding>,
    blocks: Vec<Block>,
    out_modulation: Linear,
    out: Linear,
    width: usize,
}

/// A time to a vector.
#[derive(Debug)]
struct TimeEmbedding {
    frequencies: Vec<f32>,
    hidden: Linear,
    out: Linear,
    scale: Vec<f32>,
}

#[derive(Debug)]
struct Block {
    norm: LayerNorm,
    hidden: Linear,
    out: Linear,
    modulation: Linear,
}

/// The embedded times of each sampler step.
#[derive(Clone, Debug)]
pub(crate) struct TimeSchedule {
    steps: usize,
    /// What each step adds to the condition, [1, 1, width]; empty for heads without times.
    embedded: Vec<Tensor<3>>,
}

impl FlowHead {
    /// Numbers that one row holds at once: condition and state, a block's three modulations, its branch
    /// and their sum.
    pub(super) fn scratch_numbers(&self) -> usize {
        8 * self.width
    }

    pub(super) fn load(
        weights: &Scope<'_>,
        config: &Config,
        placement: &Placement,
    ) -> Result<Self> {
        let flow = &config.flow_lm.flow;
        let width = flow.dim;
        let latent = config.mimi.latent_dim();
        let linear = |weights: &Scope<'_>, name: &str, shape: [usize; 2]| -> Result<Linear> {
            let bias = weights.floats(&format!("{name}.bias"))?;
            let weight = weights.floats(&format!("{name}.weight"))?;
            Ok(Linear::new(&weight, shape, Some(&bias), placement))
        };
        let times = (0..flow.kind.number_of_times())
            .map(|index| {
                let weights = weights.scope(&format!("time_embed.{index}"));
                let frequencies = weights.floats("freqs")?.to_vec();
                Ok(TimeEmbedding {
                    hidden: linear(&weights, "mlp.0", [width, 2 * frequencies.len()])?,
                    out: linear(&weights, "mlp.2", [width, width])?,
                    scale: weights.floats("mlp.3.alpha")?.to_vec(),
                    frequencies,
                })
            })
            .collect::<Result<_>>()?;
        let blocks = (0..flow.depth)
            .map(|index| {
                let weights = weights.scope(&format!("res_blocks.{index}"));
                Ok(Block {
                    norm: LayerNorm::new(
                        &weights.floats("in_ln.weight")?,
                        &weights.floats("in_ln.bias")?,
                        NORM_EPSILON,
                        placement,
                    ),
                    hidden: linear(&weights, "mlp.0", [width, width])?,
                    out: linear(&weights, "mlp.2", [width, width])?,
                    modulation: linear(&weights, "adaLN_modulation.1", [3 * width, width])?,
                })
            })
            .collect::<Result<_>>()?;
        let last = weights.scope("final_layer");
        Ok(Self {
            kind: flow.kind,
            input: linear(weights, "input_proj", [width, latent])?,
            condition: linear(
                weights,
                "cond_embed",
                [width, config.flow_lm.output_width()],
            )?,
            times,
            blocks,
            out_modulation: linear(&last, "adaLN_modulation.1", [2 * width, width])?,
            out: linear(&last, "linear", [latent, width])?,
            width,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let own = [
            &self.input,
            &self.condition,
            &self.out_modulation,
            &self.out,
        ];
        let times = self.times.iter().flat_map(|time| [&time.hidden, &time.out]);
        let blocks = self
            .blocks
            .iter()
            .flat_map(|block| [&block.hidden, &block.out, &block.modulation]);
        own.into_iter()
            .chain(times)
            .chain(blocks)
            .map(Linear::bytes)
            .sum()
    }

    /// Embeds the times of `steps` sampler steps. Heads without times take one step.
    pub(super) fn time_schedule(
        &self,
        steps: usize,
        placement: &Placement,
    ) -> Result<TimeSchedule> {
        let steps = if self.times.is_empty() { 1 } else { steps };
        let mut embedded = Vec::new();
        if !self.times.is_empty() {
            for step in 0..steps {
                let mut sum: Option<Tensor<3>> = None;
                for (index, time) in self.times.iter().enumerate() {
                    // The first time is where a step starts, the second where it ends.
                    let t = (step + index) as f32 / steps as f32;
                    let vector = time.forward(t, self.width, placement);
                    sum = Some(match sum {
                        Some(sum) => sum + vector,
                        None => vector,
                    });
                }
                embedded.extend(sum.map(|sum| sum / self.times.len() as f32));
            }
        }
        Ok(TimeSchedule { steps, embedded })
    }

    /// # Shapes
    ///
    /// `condition` [batch, 1, condition], `noise` [batch, 1, latent] -> [batch, 1, latent]
    pub(super) fn draw(
        &self,
        condition: Tensor<3>,
        noise: Tensor<3>,
        times: &TimeSchedule,
        placement: &Placement,
    ) -> Tensor<3> {
        let condition = self.condition.forward(condition, Activation::Identity);
        let [batch, _, width] = condition.dims();
        let at_step = |step: usize| {
            let y = match times.embedded.get(step) {
                Some(time) => condition.clone() + time.clone().expand([batch, 1, width]),
                None => condition.clone(),
            };
            Activation::Silu.forward(y, placement.kernels())
        };
        match self.kind {
            FlowType::Drifting => self.velocity(noise, at_step(0), placement),
            FlowType::Pointwise => noise.clone() + self.velocity(noise, at_step(0), placement),
            FlowType::Lsd | FlowType::FlowMatching => (0..times.steps).fold(noise, |x, step| {
                let velocity = self.velocity(x.clone(), at_step(step), placement);
                x + velocity / times.steps as f32
            }),
        }
    }

    /// The MLP. `condition` has been through its activation already.
    fn velocity(&self, x: Tensor<3>, condition: Tensor<3>, placement: &Placement) -> Tensor<3> {
        let kernels = placement.kernels();
        let mut x = self.input.forward(x, Activation::Identity);
        for block in &self.blocks {
            let modulation = block
                .modulation
                .forward(condition.clone(), Activation::Identity);
            let h = modulate(block.norm.forward(&x), &modulation, None, kernels);
            let h = block.hidden.forward(h, Activation::Silu);
            let h = block.out.forward(h, Activation::Identity);
            x = gated_add(x, h, &modulation, kernels);
        }
        let modulation = self.out_modulation.forward(condition, Activation::Identity);
        let x = modulate(x, &modulation, Some(NORM_EPSILON), kernels);
        self.out.forward(x, Activation::Identity)
    }
}

impl TimeEmbedding {
    /// -> [1, 1, width]
    fn forward(&self, time: f32, width: usize, placement: &Placement) -> Tensor<3> {
        let angles = self.frequencies.iter().map(|frequency| frequency * time);
        let waves: Vec<f32> = angles
            .clone()
            .map(f32::cos)
            .chain(angles.map(f32::sin))
            .collect();
        let waves = tensor_from(
            waves,
            [1, 1, 2 * self.frequencies.len()],
            placement.device(),
        );
        let hidden = self.hidden.forward(waves, Activation::Silu);
        let x = self.out.forward(hidden, Activation::Identity);
        // The models were trained with the unbiased variance about the mean here, not with the
        // mean square that the name of the layer (RMSNorm) promises.
        let scale = tensor_from(self.scale.clone(), [1, 1, width], placement.device());
        let variance = x.clone().var(2);
        x * scale / (variance + TIME_NORM_EPSILON).sqrt()
    }
}
