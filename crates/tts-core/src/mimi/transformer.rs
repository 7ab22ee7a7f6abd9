//! Mimi's transformer with windowed attention, and projections where its width differs from that of
//! adjacent layers.

use burn::tensor::Tensor;

use crate::config::MimiTransformerConfig;
use crate::kv::RingKv;
use crate::ops::{Activation, Backend, Heads, Linear};
use crate::state::StateMemory;
use crate::transformer::{Transformer, TransformerShape};
use crate::weights::{Loader, WeightsError};

/// A transformer with windowed attention, between optional projections.
#[derive(Debug)]
pub(super) struct ProjectedTransformer {
    input: Option<Linear>,
    transformer: Transformer,
    output: Option<Linear>,
    context: usize,
}

/// The attention windows of a batch of streams.
#[derive(Debug)]
pub(super) struct ProjectedTransformerState {
    layers: Vec<RingKv>,
    position: usize,
}

impl ProjectedTransformer {
    /// Loads `input_proj`, `transformer.…` and `output_projs.0`.
    pub(super) fn load(
        loader: &Loader<'_>,
        config: &MimiTransformerConfig,
    ) -> Result<Self, WeightsError> {
        let width = config.d_model;
        let projection = |name: &str, shape: [usize; 2]| {
            if shape[0] == shape[1] {
                Ok(None)
            } else {
                loader.linear(name, shape).map(Some)
            }
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
            transformer: Transformer::load(&loader.scope("transformer"), shape)?,
            output: projection("output_projs.0", [output, width])?,
            context: config.context,
        })
    }

    /// Elements of the state of one stream.
    pub(super) fn state_elements(&self) -> usize {
        let shape = self.transformer.shape();
        shape.layers * RingKv::elements(self.context, &shape.heads)
    }

    /// Upper bound of elements allocated at a time by `forward` over `positions` positions.
    pub(super) fn scratch_elements(&self, positions: usize) -> usize {
        self.transformer.scratch_elements(positions)
    }

    /// The state of streams that have not started.
    pub(super) fn state(
        &self,
        batch: usize,
        memory: &StateMemory,
    ) -> Result<ProjectedTransformerState, tensor_pool::Error> {
        let shape = self.transformer.shape();
        Ok(ProjectedTransformerState {
            layers: (0..shape.layers)
                .map(|_| RingKv::new(batch, self.context, &shape.heads, memory))
                .collect::<Result<_, _>>()?,
            position: 0,
        })
    }

    /// Runs the next positions of a batch of streams.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, input width] -> [batch, time, output width]
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        state: &mut ProjectedTransformerState,
        backend: &Backend,
    ) -> Tensor<3> {
        let [_, time, _] = x.dims();
        let x = match &self.input {
            Some(input) => input.forward(x, Activation::Identity),
            None => x,
        };
        // All rows of a batch are at the same position.
        let rope = self.transformer.rope().table(&[state.position], time);
        let heads = &self.transformer.shape().heads;
        let x = self.transformer.forward(x, |layer, qkv| {
            state.layers[layer].attend(qkv, heads, &rope, backend)
        });
        state.position += time;
        match &self.output {
            Some(output) => output.forward(x, Activation::Identity),
            None => x,
        }
    }
}
