//! The flow head: a small MLP with adaptive normalization that transforms noise into a latent (Li et
//! al., 2024, "Autoregressive Image Generation without Vector Quantization").

use burn::tensor::Tensor;

use crate::config::{Config, FlowType};
use crate::ops::{Activation, Backend, LayerNorm, Linear, gated_add, modulate, tensor_from};
use crate::weights::{Loader, WeightsError};

/// Epsilon of the head's layer normalizations, as in training.
const NORM_EPSILON: f32 = 1e-6;
/// Epsilon of the normalization after a time embedding, as in training.
const TIME_NORM_EPSILON: f32 = 1e-5;

/// Frequencies of a time embedding: one value per frequency, of which cosine and sine are taken. All
/// released models have this number; it is not part of the config.
const TIME_FREQUENCIES: usize = 128;

/// Transforms noise into a latent, under a condition.
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

/// Embeds a time as a vector.
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

/// The embedded times of each solver step.
#[derive(Clone, Debug)]
pub(crate) struct TimeSchedule {
    solver_steps: usize,
    /// The vector that each solver step adds to the condition, [1, 1, width]; empty for heads without
    /// times.
    embedded: Vec<Tensor<3>>,
}

impl FlowHead {
    /// Loads `input_proj`, `cond_embed`, `time_embed.…`, `res_blocks.…` and `final_layer`.
    pub(super) fn load(loader: &Loader<'_>, config: &Config) -> Result<Self, WeightsError> {
        let flow = &config.flow_lm.flow;
        let width = flow.dim;
        let latent = config.mimi.latent_dim();
        let input = loader.biased_linear("input_proj", [width, latent])?;
        let condition =
            loader.biased_linear("cond_embed", [width, config.flow_lm.output_width()])?;
        let times = (0..flow.kind.number_of_times())
            .map(|index| TimeEmbedding::load(&loader.scope(&format!("time_embed.{index}")), width))
            .collect::<Result<_, _>>()?;
        let blocks = (0..flow.depth)
            .map(|index| Block::load(&loader.scope(&format!("res_blocks.{index}")), width))
            .collect::<Result<_, _>>()?;
        let last = loader.scope("final_layer");
        Ok(Self {
            kind: flow.kind,
            input,
            condition,
            times,
            blocks,
            out_modulation: last.biased_linear("adaLN_modulation.1", [2 * width, width])?,
            out: last.biased_linear("linear", [latent, width])?,
            width,
        })
    }

    /// Upper bound of elements allocated at a time for one row: condition, state, and a block's three
    /// modulations, branch and sum.
    pub(super) fn scratch_elements(&self) -> usize {
        8 * self.width
    }

    /// Embeds the times of `solver_steps` steps. Heads without times take one step.
    pub(super) fn time_schedule(&self, solver_steps: usize, backend: &Backend) -> TimeSchedule {
        let solver_steps = if self.times.is_empty() {
            1
        } else {
            solver_steps
        };
        let mut embedded = Vec::new();
        if !self.times.is_empty() {
            for step in 0..solver_steps {
                let mut sum: Option<Tensor<3>> = None;
                for (index, time) in self.times.iter().enumerate() {
                    // The first time is the start of a step, the second its end.
                    let t = (step + index) as f32 / solver_steps as f32;
                    let vector = time.forward(t, self.width, backend);
                    sum = Some(match sum {
                        Some(sum) => sum + vector,
                        None => vector,
                    });
                }
                embedded.extend(sum.map(|sum| sum / self.times.len() as f32));
            }
        }
        TimeSchedule {
            solver_steps,
            embedded,
        }
    }

    /// Samples latents from noise.
    ///
    /// # Shapes
    ///
    /// `condition` [batch, 1, condition], `noise` [batch, 1, latent] -> [batch, 1, latent]
    pub(super) fn sample(
        &self,
        condition: Tensor<3>,
        noise: Tensor<3>,
        times: &TimeSchedule,
        backend: &Backend,
    ) -> Tensor<3> {
        let condition = self.condition.forward(condition, Activation::Identity);
        let [batch, _, width] = condition.dims();
        let at_step = |step: usize| {
            let y = match times.embedded.get(step) {
                Some(time) => condition.clone() + time.clone().expand([batch, 1, width]),
                None => condition.clone(),
            };
            Activation::Silu.forward(y, backend)
        };
        match self.kind {
            FlowType::Drifting => self.velocity(noise, at_step(0), backend),
            FlowType::Pointwise => noise.clone() + self.velocity(noise, at_step(0), backend),
            FlowType::Lsd | FlowType::FlowMatching => {
                (0..times.solver_steps).fold(noise, |x, step| {
                    let velocity = self.velocity(x.clone(), at_step(step), backend);
                    x + velocity / times.solver_steps as f32
                })
            }
        }
    }

    /// The MLP. `condition` is already activated.
    fn velocity(&self, x: Tensor<3>, condition: Tensor<3>, backend: &Backend) -> Tensor<3> {
        let mut x = self.input.forward(x, Activation::Identity);
        for block in &self.blocks {
            let modulation = block
                .modulation
                .forward(condition.clone(), Activation::Identity);
            let h = modulate(block.norm.forward(&x), &modulation, None, backend);
            let h = block.hidden.forward(h, Activation::Silu);
            let h = block.out.forward(h, Activation::Identity);
            x = gated_add(x, h, &modulation, backend);
        }
        let modulation = self.out_modulation.forward(condition, Activation::Identity);
        let x = modulate(x, &modulation, Some(NORM_EPSILON), backend);
        self.out.forward(x, Activation::Identity)
    }
}

impl Block {
    /// Loads `in_ln`, `mlp.0`, `mlp.2` and `adaLN_modulation.1`.
    fn load(loader: &Loader<'_>, width: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            norm: loader.layer_norm("in_ln", width, NORM_EPSILON)?,
            hidden: loader.biased_linear("mlp.0", [width, width])?,
            out: loader.biased_linear("mlp.2", [width, width])?,
            modulation: loader.biased_linear("adaLN_modulation.1", [3 * width, width])?,
        })
    }
}

impl TimeEmbedding {
    /// Loads `freqs`, `mlp.0`, `mlp.2` and `mlp.3.alpha`.
    fn load(loader: &Loader<'_>, width: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            frequencies: loader.values("freqs", &[TIME_FREQUENCIES])?,
            hidden: loader.biased_linear("mlp.0", [width, 2 * TIME_FREQUENCIES])?,
            out: loader.biased_linear("mlp.2", [width, width])?,
            scale: loader.values("mlp.3.alpha", &[width])?,
        })
    }

    /// Embeds a time, [1, 1, width].
    fn forward(&self, time: f32, width: usize, backend: &Backend) -> Tensor<3> {
        let angles = self.frequencies.iter().map(|frequency| frequency * time);
        let waves: Vec<f32> = angles
            .clone()
            .map(f32::cos)
            .chain(angles.map(f32::sin))
            .collect();
        let waves = tensor_from(waves, [1, 1, 2 * self.frequencies.len()], backend.device());
        let hidden = self.hidden.forward(waves, Activation::Silu);
        let x = self.out.forward(hidden, Activation::Identity);
        // The reference calls this layer RMSNorm, but uses the unbiased variance about the mean
        // instead of the mean square.
        let scale = tensor_from(self.scale.clone(), [1, 1, width], backend.device());
        let variance = x.clone().var(2);
        x * scale / (variance + TIME_NORM_EPSILON).sqrt()
    }
}
