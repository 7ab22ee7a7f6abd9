//! Depthwise transposed convolution: each channel is stretched by its own kernel.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::flex;
use super::{Placement, Vector, tensor_from};

/// A depthwise transposed convolution whose kernel is twice its stride: every output step is a
/// mix of the current and the previous input step.
#[derive(Debug)]
pub(crate) struct DepthwiseUpsample {
    /// `[2 * stride, channels]`
    weight: Vector,
    stride: usize,
    channels: usize,
}

impl DepthwiseUpsample {
    /// From weights stored `[channels, 1, 2 * stride]`.
    pub(crate) fn new(
        weights: &[f32],
        channels: usize,
        stride: usize,
        placement: &Placement,
    ) -> Self {
        let rows = super::linear::transposed(weights, [channels, 2 * stride]);
        Self {
            weight: Vector::place(&rows, placement),
            stride,
            channels,
        }
    }

    /// # Shapes
    ///
    /// `x` [batch, time, channel]; `state` is `None` before the first call, when zeros came before,
    /// then [batch, 1, channel] -> [batch, time * stride, channel]
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        state: &mut Option<Tensor<3>>,
        placement: &Placement,
    ) -> Tensor<3> {
        let [batch, time, channels] = x.dims();
        debug_assert_eq!(channels, self.channels);
        let shape = [batch, 1, channels];
        let past = state
            .take()
            .unwrap_or_else(|| tensor_from(vec![0.0; batch * channels], shape, placement.device()));
        let stride = self.stride;
        let weight = match &self.weight {
            #[cfg(feature = "flex")]
            Vector::Host(weight) => {
                let x = flex::open(x);
                let x: &[f32] = x.storage();
                let previous = flex::open(past);
                let previous: &[f32] = previous.storage();
                let mut out = Vec::with_capacity(batch * time * stride * channels);
                let mut last = Vec::with_capacity(batch * channels);
                for row in 0..batch {
                    let x = &x[row * time * channels..(row + 1) * time * channels];
                    let mut old = &previous[row * channels..(row + 1) * channels];
                    for now in x.chunks_exact(channels) {
                        for phase in 0..stride {
                            let new_weights = &weight[phase * channels..][..channels];
                            let old_weights = &weight[(stride + phase) * channels..][..channels];
                            out.extend(
                                now.iter()
                                    .zip(new_weights)
                                    .zip(old.iter().zip(old_weights))
                                    .map(|((now, w), (old, v))| now * w + old * v),
                            );
                        }
                        old = now;
                    }
                    last.extend_from_slice(old);
                }
                *state = Some(flex::tensor(last, shape));
                return flex::tensor(out, [batch, time * stride, channels]);
            }
            Vector::Device(weight) => weight,
        };
        let weight = weight.clone().reshape([1, 2, stride, channels]);
        let half = |index: usize| {
            weight
                .clone()
                .slice([0..1, index..index + 1, 0..stride, 0..channels])
        };
        let window = Tensor::cat(vec![past, x.clone()], 1);
        let old = window
            .slice([0..batch, 0..time, 0..channels])
            .reshape([batch, time, 1, channels]);
        *state = Some(x.clone().slice([0..batch, time - 1..time, 0..channels]));
        let now = x.reshape([batch, time, 1, channels]);
        (now * half(0) + old * half(1)).reshape([batch, time * stride, channels])
    }
}
