//! The pre-norm transformer that FlowLM and both sides of Mimi share.

use burn::tensor::Tensor;

use crate::error::Result;
use crate::ops::{Activation, Heads, LayerNorm, Linear, Placement, Rope};
use crate::weights::Scope;

/// Epsilon of the layer normalisations, PyTorch's default, with which the models were trained.
const NORM_EPSILON: f32 = 1e-5;

/// Sizes of a transformer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransformerShape {
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: Heads,
    pub(crate) feed_forward: usize,
    pub(crate) max_period: f32,
    /// Whether each residual branch is scaled per channel (Touvron et al., 2021).
    pub(crate) layer_scale: bool,
}

/// A stack of attention and feed-forward layers, causal.
#[derive(Debug)]
pub(crate) struct Transformer {
    layers: Vec<Layer>,
    rope: Rope,
    shape: TransformerShape,
}

#[derive(Debug)]
struct Layer {
    attention_norm: LayerNorm,
    attention_in: Linear,
    attention_out: Linear,
    feed_forward_norm: LayerNorm,
    feed_forward_in: Linear,
    feed_forward_out: Linear,
}

impl Transformer {
    /// Loads the layers `layers.0`, `layers.1`, … of `weights`.
    pub(crate) fn load(
        weights: &Scope<'_>,
        shape: TransformerShape,
        placement: &Placement,
    ) -> Result<Self> {
        let layers = (0..shape.layers)
            .map(|index| {
                Layer::load(
                    &weights.scope(&format!("layers.{index}")),
                    &shape,
                    placement,
                )
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            rope: Rope::new(shape.heads.head_dim, shape.max_period),
            shape,
        })
    }

    /// Sizes.
    pub(crate) fn shape(&self) -> &TransformerShape {
        &self.shape
    }

    /// Rotary frequencies.
    pub(crate) fn rope(&self) -> &Rope {
        &self.rope
    }

    /// Bytes of the prepared weights.
    pub(crate) fn bytes(&self) -> usize {
        self.layers
            .iter()
            .flat_map(|layer| {
                [
                    &layer.attention_in,
                    &layer.attention_out,
                    &layer.feed_forward_in,
                    &layer.feed_forward_out,
                ]
            })
            .map(Linear::bytes)
            .sum()
    }

    /// Numbers that a pass over so many rows holds at once, besides its input: a layer's input, and the
    /// larger of its two branches.
    pub(crate) fn scratch_numbers(&self, rows: usize) -> usize {
        let TransformerShape {
            width,
            heads,
            feed_forward,
            ..
        } = &self.shape;
        let (qkv, out) = (heads.qkv_width(), heads.query_width());
        let branch = (width + qkv).max(qkv + out).max(width + feed_forward);
        rows * (width + branch)
    }

    /// Runs the layers over the next steps. `attend` gets a layer's index and its projected
    /// queries, keys and values [batch, time, qkv_width], and gives the heads' outputs [batch,
    /// time, head * head_dim]: the caches are the caller's.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, width] -> the same
    pub(crate) fn forward(
        &self,
        mut x: Tensor<3>,
        mut attend: impl FnMut(usize, Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = layer.attention_norm.forward(&x);
            let qkv = layer.attention_in.forward(normed, Activation::Identity);
            x = layer.attention_out.forward_add(attend(index, qkv), x);
            let normed = layer.feed_forward_norm.forward(&x);
            let hidden = layer.feed_forward_in.forward(normed, Activation::GeluTanh);
            x = layer.feed_forward_out.forward_add(hidden, x);
        }
        x
    }
}

impl Layer {
    fn load(weights: &Scope<'_>, shape: &TransformerShape, placement: &Placement) -> Result<Self> {
        let norm = |name: &str| -> Result<LayerNorm> {
            let weights = weights.scope(name);
            Ok(LayerNorm::new(
                &weights.floats("weight")?,
                &weights.floats("bias")?,
                NORM_EPSILON,
                placement,
            ))
        };
        let linear = |name: &str, shape: [usize; 2]| -> Result<Linear> {
            let weight = weights.floats(&format!("{name}.weight"))?;
            Ok(Linear::new(&weight, shape, None, placement))
        };
        // A scale per output channel is a scale of the weight's rows.
        let scaled = |name: &str, scale: &str, [outputs, inputs]: [usize; 2]| -> Result<Linear> {
            if !shape.layer_scale {
                return linear(name, [outputs, inputs]);
            }
            let scale = weights.floats(&format!("{scale}.scale"))?;
            let mut weight = weights.floats(&format!("{name}.weight"))?.into_vec();
            for (row, scale) in weight.chunks_exact_mut(inputs).zip(scale.iter()) {
                row.iter_mut().for_each(|value| *value *= scale);
            }
            Ok(Linear::new(&weight, [outputs, inputs], None, placement))
        };
        let (width, heads) = (shape.width, &shape.heads);
        Ok(Self {
            attention_norm: norm("norm1")?,
            attention_in: linear("self_attn.in_proj", [heads.qkv_width(), width])?,
            attention_out: scaled(
                "self_attn.out_proj",
                "layer_scale_1",
                [width, heads.query_width()],
            )?,
            feed_forward_norm: norm("norm2")?,
            feed_forward_in: linear("linear1", [shape.feed_forward, width])?,
            feed_forward_out: scaled("linear2", "layer_scale_2", [width, shape.feed_forward])?,
        })
    }
}
