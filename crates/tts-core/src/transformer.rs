//! The pre-norm transformer of FlowLM and of Mimi's encoder and decoder.

use burn::tensor::Tensor;

use crate::ops::{Activation, Heads, LayerNorm, Linear, Rope};
use crate::weights::{Loader, WeightsError};

/// Epsilon of the layer normalizations (PyTorch's default), as in training.
const NORM_EPSILON: f32 = 1e-5;

/// Sizes of a transformer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransformerShape {
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: Heads,
    pub(crate) feed_forward: usize,
    pub(crate) max_period: f32,
    /// Whether each residual branch has a scale per channel (Touvron et al., 2021).
    pub(crate) layer_scale: bool,
}

/// A stack of causal attention and feed-forward layers.
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
    /// Loads the layers `layers.0`, `layers.1`, ….
    pub(crate) fn load(loader: &Loader<'_>, shape: TransformerShape) -> Result<Self, WeightsError> {
        let layers = (0..shape.layers)
            .map(|index| Layer::load(&loader.scope(&format!("layers.{index}")), &shape))
            .collect::<Result<_, _>>()?;
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

    /// Upper bound of elements allocated at a time by `forward` over `rows` positions, without the input:
    /// a layer's input and the larger of its two branches.
    pub(crate) fn scratch_elements(&self, rows: usize) -> usize {
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

    /// Runs the layers over the next positions.
    ///
    /// `attend` is called with a layer's index and its projected queries, keys and values [batch, time,
    /// qkv_width]. It returns the heads' outputs [batch, time, head * head_dim]; the caller owns the
    /// caches.
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
    fn load(loader: &Loader<'_>, shape: &TransformerShape) -> Result<Self, WeightsError> {
        // A scale per output channel is a scale of the weight's rows.
        let scaled = |name: &str, scale: &str, [outputs, inputs]: [usize; 2]| {
            if !shape.layer_scale {
                return loader.linear(name, [outputs, inputs]);
            }
            let scale = loader.values(&format!("{scale}.scale"), &[outputs])?;
            let name = format!("{name}.weight");
            loader.linear_with(&name, &[outputs, inputs], [outputs, inputs], |weights| {
                for (row, scale) in weights.chunks_exact_mut(inputs).zip(&scale) {
                    row.iter_mut().for_each(|value| *value *= scale);
                }
                None
            })
        };
        let (width, heads) = (shape.width, &shape.heads);
        Ok(Self {
            attention_norm: loader.layer_norm("norm1", width, NORM_EPSILON)?,
            attention_in: loader.linear("self_attn.in_proj", [heads.qkv_width(), width])?,
            attention_out: scaled(
                "self_attn.out_proj",
                "layer_scale_1",
                [width, heads.query_width()],
            )?,
            feed_forward_norm: loader.layer_norm("norm2", width, NORM_EPSILON)?,
            feed_forward_in: loader.linear("linear1", [shape.feed_forward, width])?,
            feed_forward_out: scaled("linear2", "layer_scale_2", [width, shape.feed_forward])?,
        })
    }
}
