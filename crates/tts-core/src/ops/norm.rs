//! Layer normalization.

use burn::tensor::Tensor;

use super::flex::{self, HostTensor};
use super::{Backend, Vector, kernels};

/// Layer normalization over channels (Ba et al., 2016) with scale and offset.
#[derive(Clone, Debug)]
pub(crate) struct LayerNorm {
    scale: Vector,
    offset: Vector,
    epsilon: f32,
}

impl LayerNorm {
    /// A normalization with `scale` and `offset` per channel.
    pub(crate) fn new(scale: &[f32], offset: &[f32], epsilon: f32, backend: &Backend) -> Self {
        Self {
            scale: Vector::new(scale, backend),
            offset: Vector::new(offset, backend),
            epsilon,
        }
    }

    /// Normalizes every row.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, channel] -> the same
    pub(crate) fn forward(&self, x: &Tensor<3>) -> Tensor<3> {
        match (&self.scale, &self.offset) {
            (Vector::Host(scale), Vector::Host(offset)) => {
                let shape = x.dims();
                let x = HostTensor::new(x.clone());
                let affine = Some((&scale[..], &offset[..]));
                let out = kernels::layer_norm(x.values(), affine, shape[2], self.epsilon);
                flex::tensor(out, shape)
            }
            _ => {
                normalized(x.clone(), self.epsilon) * self.scale.broadcast()
                    + self.offset.broadcast()
            }
        }
    }
}

/// The portable body, without scale and offset.
pub(super) fn normalized(x: Tensor<3>, epsilon: f32) -> Tensor<3> {
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().powf_scalar(2.0).mean_dim(2);
    centred / (variance + epsilon).sqrt()
}
