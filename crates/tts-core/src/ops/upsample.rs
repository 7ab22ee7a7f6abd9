//! Depthwise transposed convolution: each channel is upsampled with a kernel of its own.

use burn::tensor::Tensor;
use tensor_pool::PooledTensor;

use super::Vector;
use super::flex::{self, HostTensor};
use crate::ledger::UPSAMPLING_TAG;
use crate::state::StateMemory;

/// A depthwise transposed convolution whose kernel is twice its stride: every output is a weighted
/// sum of the current and the previous input.
#[derive(Debug)]
pub(crate) struct DepthwiseUpsample {
    /// `[2 * stride, channels]`
    weight: Vector,
    stride: usize,
    channels: usize,
}

impl DepthwiseUpsample {
    /// Upsampling by `stride` with weights `[2 * stride, channels]`.
    pub(crate) fn new(weight: Vector, channels: usize, stride: usize) -> Self {
        Self {
            weight,
            stride,
            channels,
        }
    }

    /// Elements of the state of one stream.
    pub(crate) fn state_elements(&self) -> usize {
        self.channels
    }

    /// Outputs per input.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The state of streams that have not started, [batch, 1, channel]: the previous input is zero.
    ///
    /// # Errors
    ///
    /// The pool cannot lease the state.
    pub(crate) fn state(
        &self,
        batch: usize,
        memory: &StateMemory,
    ) -> Result<PooledTensor<3>, tensor_pool::Error> {
        memory.zeros([batch, 1, self.channels], UPSAMPLING_TAG)
    }

    /// Upsamples the next inputs of a batch of streams.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, channel] -> [batch, time * stride, channel]
    pub(crate) fn forward(&self, x: Tensor<3>, past: &mut PooledTensor<3>) -> Tensor<3> {
        match &self.weight {
            Vector::Host(weight) => flex::edit(past, |past| self.kernel(x, past, weight)),
            Vector::Device(weight) => self.portable(x, past, weight),
        }
    }

    fn kernel(&self, x: Tensor<3>, past: &mut [f32], weight: &[f32]) -> Tensor<3> {
        let [batch, time, channels] = x.dims();
        debug_assert_eq!(channels, self.channels);
        let stride = self.stride;
        let x = HostTensor::new(x);
        let x = x.values();
        let mut out = Vec::with_capacity(batch * time * stride * channels);
        let rows = x.chunks_exact(time * channels);
        for (x, past) in rows.zip(past.chunks_exact_mut(channels)) {
            let mut previous = &*past;
            for current in x.chunks_exact(channels) {
                for phase in 0..stride {
                    let current_weights = &weight[phase * channels..][..channels];
                    let previous_weights = &weight[(stride + phase) * channels..][..channels];
                    out.extend(
                        current
                            .iter()
                            .zip(current_weights)
                            .zip(previous.iter().zip(previous_weights))
                            .map(|((x, w), (y, v))| x * w + y * v),
                    );
                }
                previous = current;
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
        let previous = window
            .slice([0..batch, 0..time, 0..channels])
            .reshape([batch, time, 1, channels]);
        let current = x.reshape([batch, time, 1, channels]);
        (current * half(0) + previous * half(1)).reshape([batch, time * stride, channels])
    }
}
