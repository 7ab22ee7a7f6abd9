//! Mimi's windowed transformer, with projections where its width differs from its neighbours'.

use burn::tensor::Tensor;

use crate::config::MimiTransformerConfig;
use crate::error::Result;
use crate::kv::RingKv;
use crate::ops::{Activation, Heads, Linear, Placement};
use crate::state::StateMemory;
use crate::transformer::{Transformer, TransformerShape};
use crate::weights::Scope;

#[derive(Debug)]
pub(super) struct ProjectedTransformer {
    input: Option<Linear>,
    transformer: Transformer,
    output: Option<Linear>,
    context: usize,
}

/// The windows of a stream.
#[derive(Debug)]
pub(super) struct ProjectedTransformerState {
    layers: Vec<RingKv>,
    position: usize,
}

impl ProjectedTransformer {
    pub(super) fn load(
        weights: &Scope<'_>,
        config: &MimiTransformerConfig,
        placement: &Placement,
    ) -> Result<Self> {
        let width = config.d_model;
        let projection = |name: &str, shape: [usize; 2]| -> Result<Option<Linear>> {
            Ok(if shape[0] == shape[1] {
                None
            } else {
                let weight = weights.floats(&format!("{name}.weight"))?;
                Some(Linear::new(&weight, shape, None, placement))
            })
        };
        // A config lists exactly one output.
        let output = config.output_dimensions.first().copied().unwrap_or(width);
        let shape = TransformerShape {
            width,
            layers: config.num_layers,
            heads: Heads {
                heads: config.num_heads,
                kv_heads: config.num_heads,
                head_dim: config.head_dim(),
                context: Some(config.context),
            },
            feed_forward: config.dim_feedforward,
            max_period: config.max_period,
            layer_scale: true,
        };
        Ok(Self {
            input: projection("input_proj", [width, config.input_dimension])?,
            transformer: Transformer::load(&weights.scope("transformer"), shape, placement)?,
            output: projection("output_projs.0", [output, width])?,
            context: config.context,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let projections = self.input.iter().chain(&self.output);
        self.transformer.bytes() + projections.map(Linear::bytes).sum::<usize>()
    }

    /// Numbers that the state of one stream holds.
    pub(super) fn state_numbers(&self) -> usize {
        let shape = self.transformer.shape();
        shape.layers * RingKv::numbers(self.context, &shape.heads)
    }

    /// Numbers that a pass over so many steps holds at once.
    pub(super) fn scratch_numbers(&self, steps: usize) -> usize {
        self.transformer.scratch_numbers(steps)
    }

    pub(super) fn state(
        &self,
        batch: usize,
        memory: &StateMemory,
    ) -> Result<ProjectedTransformerState> {
        let shape = self.transformer.shape();
        Ok(ProjectedTransformerState {
            layers: (0..shape.layers)
                .map(|_| RingKv::new(batch, self.context, &shape.heads, memory))
                .collect::<Result<_>>()?,
            position: 0,
        })
    }

    /// # Shapes
    ///
    /// `x` [batch, step, input width] -> [batch, step, output width]
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        state: &mut ProjectedTransformerState,
        placement: &Placement,
    ) -> Tensor<3> {
        let [_, time, _] = x.dims();
        let x = match &self.input {
            Some(input) => input.forward(x, Activation::Identity),
            None => x,
        };
        // Every row of a batch is at the same step.
        let rope = self.transformer.rope().table(&[state.position], time);
        let heads = &self.transformer.shape().heads;
        let x = self.transformer.forward(x, |layer, qkv| {
            state.layers[layer].attend(qkv, heads, &rope, placement)
        });
        state.position += time;
        match &self.output {
            Some(output) => output.forward(x, Activation::Identity),
            None => x,
        }
    }
}
