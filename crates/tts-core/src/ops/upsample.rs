//! Depthwise transposed convolution: each channel is stretched by its own kernel.

use burn::tensor::Tensor;
use tensor_pool::PooledTensor;

#[cfg(feature = "flex")]
use super::flex;
use super::{Placement, Vector};
use crate::error::Result;
use crate::state::StateMemory;

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

    /// Numbers that the state of one stream holds.
    pub(crate) fn state_numbers(&self) -> usize {
        self.channels
    }

    /// Output steps for each input step.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The state of streams that have not begun, the input step before the next: zeros,
    /// [batch, 1, channel].
    pub(crate) fn state(&self, batch: usize, memory: &StateMemory) -> Result<PooledTensor<3>> {
        memory.zeros([batch, 1, self.channels], "upsampling")
    }

    /// # Shapes
    ///
    /// `x` [batch, time, channel] -> [batch, time * stride, channel]
    pub(crate) fn forward(&self, x: Tensor<3>, past: &mut PooledTensor<3>) -> Tensor<3> {
        match &self.weight {
            #[cfg(feature = "flex")]
            Vector::Host(weight) => flex::edit(past, |past| self.kernel(x, past, weight)),
            Vector::Device(weight) => self.portable(x, past, weight),
        }
    }

    #[cfg(feature = "flex")]
    fn kernel(&self, x: Tensor<3>, past: &mut [f32], weight: &[f32]) -> Tensor<3> {
        let [batch, time, channels] = x.dims();
        debug_assert_eq!(channels, self.channels);
        let stride = self.stride;
        let x = flex::open(x);
        let x: &[f32] = x.storage();
        let mut out = Vec::with_capacity(batch * time * stride * channels);
        let rows = x.chunks_exact(time * channels);
        for (x, past) in rows.zip(past.chunks_exact_mut(channels)) {
            let mut old = &*past;
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
            past.copy_from_slice(&x[(time - 1) * channels..]);
        }
        flex::tensor(out, [batch, time * stride, channels])
    }

    fn portable(&self, x: Tensor<3>, past: &mut PooledTensor<3>, weight: &Tensor<1>) -> Tensor<3> {
        let [batch, time, channels] = x.dims();
        let stride = self.stride;
        let weight = weight.clone().reshape([1, 2, stride, channels]);
        let half = |index: usize| {
            weight
                .clone()
                .slice([0..1, index..index + 1, 0..stride, 0..channels])
        };
        let last = x.clone().slice([0..batch, time - 1..time, 0..channels]);
        let window = past.update_with(|past| {
            let window = Tensor::cat(vec![past.clone(), x.clone()], 1);
            (
                past.slice_assign([0..batch, 0..1, 0..channels], last),
                window,
            )
        });
        let old = window
            .slice([0..batch, 0..time, 0..channels])
            .reshape([batch, time, 1, channels]);
        let now = x.reshape([batch, time, 1, channels]);
        (now * half(0) + old * half(1)).reshape([batch, time * stride, channels])
    }
}
