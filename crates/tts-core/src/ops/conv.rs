//! Causal convolutions that stream.
//!
//! Every convolution of Mimi becomes a causal convolution with stride 1 over `[time, channel]`:
//! - one with stride `S` reads `S` adjacent steps as one step with `S` times the channels;
//! - a transposed one with stride `S` writes one step with `S` times the channels, read back as
//!   `S` steps. Its output at a step depends on this input and the `kernel / S - 1` before it, so
//!   instead of adding the overlapping tails of past outputs it keeps past inputs.
//!
//! Both are reshapes that move no data. What is left is one matrix product per call, whose left
//! rows are overlapping windows of the input: nothing is laid out again.

use burn::tensor::Tensor;
use tensor_pool::PooledTensor;

#[cfg(feature = "flex")]
use super::flex;
use super::{Activation, Placement, Vector, tensor_from};
use crate::error::Result;
use crate::state::StateMemory;

/// Sizes of a convolution as the weights file stores it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvGeometry {
    /// Channels in.
    pub(crate) inputs: usize,
    /// Channels out.
    pub(crate) outputs: usize,
    /// Kernel width in steps.
    pub(crate) kernel: usize,
    /// Steps per output step (or output steps per input step when transposed).
    pub(crate) stride: usize,
    /// Distance between kernel taps in steps.
    pub(crate) dilation: usize,
    /// Whether the first step stands before itself again and again, instead of zeros.
    pub(crate) replicate: bool,
}

/// A causal convolution with weights prepared for the device.
#[derive(Debug)]
pub(crate) struct CausalConv {
    weight: Weight,
    bias: Option<Vector>,
    /// Taps of the stride-1 form.
    taps: usize,
    dilation: usize,
    /// Input steps that are read as one.
    fold: usize,
    /// Output steps that are written as one.
    unfold: usize,
    inputs: usize,
    outputs: usize,
    replicate: bool,
}

/// What a stream remembers of a convolution: the inputs that later steps still see.
#[derive(Debug)]
pub(crate) struct ConvState {
    /// `[batch, history, channel]`; none where each step sees only itself.
    past: Option<PooledTensor<3>>,
    begun: bool,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a model has a few hundred of these"
)]
enum Weight {
    /// One product when the taps are adjacent, else one per tap.
    #[cfg(feature = "flex")]
    Packed(Vec<flex::PackedMatrix>),
    /// `[taps * inputs, outputs]`
    Device(Tensor<2>),
}

impl CausalConv {
    /// A convolution from weights stored `[outputs, inputs, kernel]`.
    pub(crate) fn new(
        weights: &[f32],
        bias: Option<&[f32]>,
        geometry: ConvGeometry,
        placement: &Placement,
    ) -> Self {
        let ConvGeometry {
            inputs,
            outputs,
            kernel,
            stride,
            dilation,
            ..
        } = geometry;
        let taps = kernel.div_ceil(stride);
        let missing = taps * stride - kernel;
        // [outputs, taps, stride * inputs]; a kernel that is no multiple of the stride gets zeros
        // at its old end.
        let mut rows = vec![0.0; outputs * taps * stride * inputs];
        for output in 0..outputs {
            for input in 0..inputs {
                for k in 0..kernel {
                    rows[(output * taps * stride + missing + k) * inputs + input] =
                        weights[(output * inputs + input) * kernel + k];
                }
            }
        }
        Self {
            weight: Weight::new(&rows, [outputs, taps, stride * inputs], dilation, placement),
            bias: bias.map(|bias| Vector::place(bias, placement)),
            taps,
            dilation,
            fold: stride,
            unfold: 1,
            inputs: stride * inputs,
            outputs,
            replicate: geometry.replicate,
        }
    }

    /// A transposed convolution from weights stored `[inputs, outputs, kernel]`.
    pub(crate) fn transposed(
        weights: &[f32],
        bias: Option<&[f32]>,
        geometry: ConvGeometry,
        placement: &Placement,
    ) -> Self {
        let ConvGeometry {
            inputs,
            outputs,
            kernel,
            stride,
            ..
        } = geometry;
        let taps = kernel.div_ceil(stride);
        // [stride * outputs, taps, inputs]: kernel position k = age * stride + phase reaches the
        // output's phase from an input that is `age` steps old; the oldest tap comes first.
        let mut rows = vec![0.0; stride * outputs * taps * inputs];
        for input in 0..inputs {
            for output in 0..outputs {
                for k in 0..kernel {
                    let (age, phase) = (k / stride, k % stride);
                    let row = phase * outputs + output;
                    rows[(row * taps + taps - 1 - age) * inputs + input] =
                        weights[(input * outputs + output) * kernel + k];
                }
            }
        }
        let bias = bias.map(|bias| Vector::place(&bias.repeat(stride), placement));
        Self {
            weight: Weight::new(&rows, [stride * outputs, taps, inputs], 1, placement),
            bias,
            taps,
            dilation: 1,
            fold: 1,
            unfold: stride,
            inputs,
            outputs: stride * outputs,
            replicate: false,
        }
    }

    /// Bytes of the prepared weights.
    pub(crate) fn bytes(&self) -> usize {
        match &self.weight {
            #[cfg(feature = "flex")]
            Weight::Packed(packed) => packed.iter().map(flex::PackedMatrix::bytes).sum(),
            Weight::Device(weight) => weight.shape().num_elements() * size_of::<f32>(),
        }
    }

    /// Steps of the folded input that are kept between calls.
    fn history(&self) -> usize {
        (self.taps - 1) * self.dilation
    }

    /// Numbers that the state of one stream holds.
    pub(crate) fn state_numbers(&self) -> usize {
        self.history() * self.inputs
    }

    /// Steps that come of so many.
    pub(crate) fn steps_out(&self, steps: usize) -> usize {
        steps / self.fold * self.unfold
    }

    /// Channels of its output.
    pub(crate) fn channels_out(&self) -> usize {
        self.outputs / self.unfold
    }

    /// Numbers that a pass over so many steps makes, its output among them: the window of what it sees,
    /// where each backend lays it out as it likes, and the product.
    pub(crate) fn scratch_numbers(&self, steps: usize) -> usize {
        let time = steps / self.fold;
        let window = (self.history() + time) * self.inputs;
        let product = time * self.outputs;
        match &self.weight {
            #[cfg(feature = "flex")]
            Weight::Packed(_) => window + product,
            // The activation's steps, the window and the history cut out of it, the taps and their
            // join, the product without and with its bias.
            Weight::Device(_) => 4 * window + 2 * time * self.taps * self.inputs + 2 * product,
        }
    }

    /// The state of streams that have not begun: zeros came before their first step.
    pub(crate) fn state(&self, batch: usize, memory: &StateMemory) -> Result<ConvState> {
        let shape = [batch, self.history(), self.inputs];
        let past = if self.history() > 0 {
            Some(memory.zeros(shape, "convolution history")?)
        } else {
            None
        };
        Ok(ConvState { past, begun: false })
    }

    /// Lets the first step have come before itself again and again.
    fn replicate_first(
        &self,
        x: &Tensor<3>,
        past: &mut PooledTensor<3>,
        before: Activation,
        placement: &Placement,
    ) {
        let [batch, _, channels] = x.dims();
        let first = x.clone().slice([0..batch, 0..1, 0..channels]);
        let shape = past.dims();
        let repeated = before
            .forward(first, placement.kernels())
            .repeat_dim(1, self.history() * self.fold)
            .reshape(shape);
        past.update(|past| past.slice_assign(shape.map(|axis| 0..axis), repeated));
    }

    /// Convolves the next steps of a stream, after applying `before` to them.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, channels in], time a multiple of the stride -> [batch, time / stride,
    /// channels out], or [batch, time * stride, channels out] when transposed
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        state: &mut ConvState,
        before: Activation,
        placement: &Placement,
    ) -> Tensor<3> {
        let [batch, time, channels] = x.dims();
        debug_assert_eq!((time % self.fold, channels * self.fold), (0, self.inputs));
        let ConvState { past, begun } = state;
        if let Some(past) = past
            && self.replicate
            && !*begun
        {
            self.replicate_first(&x, past, before, placement);
        }
        *begun = true;
        let x = x.reshape([batch, time / self.fold, self.inputs]);
        let y = match (&self.weight, past) {
            #[cfg(feature = "flex")]
            (Weight::Packed(packed), Some(past)) => {
                flex::edit(past, |past| self.kernel(x, past, before, packed))
            }
            #[cfg(feature = "flex")]
            (Weight::Packed(packed), None) => self.kernel(x, &mut [], before, packed),
            (Weight::Device(weight), past) => {
                let x = before.portable(x);
                let window = match past {
                    Some(past) => self.window(x, past),
                    None => x,
                };
                self.portable(window, weight)
            }
        };
        let [_, steps, _] = y.dims();
        y.reshape([batch, steps * self.unfold, self.outputs / self.unfold])
    }

    /// `past` is `[batch, history, inputs]`, and is left as the next steps see it.
    #[cfg(feature = "flex")]
    fn kernel(
        &self,
        x: Tensor<3>,
        past: &mut [f32],
        before: Activation,
        packed: &[flex::PackedMatrix],
    ) -> Tensor<3> {
        let [batch, time, inputs] = x.dims();
        let x = flex::open(x);
        let x: &[f32] = x.storage();
        let history = self.history() * inputs;
        let bias = self.bias.as_ref().map(Vector::host);
        let mut out = Vec::with_capacity(batch * time * self.outputs);
        let mut window = Vec::with_capacity(history + time * inputs);
        for row in 0..batch {
            let past = &mut past[row * history..(row + 1) * history];
            window.clear();
            window.extend_from_slice(past);
            window.extend_from_slice(&x[row * time * inputs..(row + 1) * time * inputs]);
            flex::activate(&mut window[history..], before);
            past.copy_from_slice(&window[time * inputs..]);

            let start = out.len();
            for (tap, weights) in packed.iter().enumerate() {
                let rows = flex::Rows {
                    data: &window[tap * self.dilation * inputs..],
                    count: time,
                    stride: inputs,
                };
                if tap == 0 {
                    flex::product(rows, weights, bias, &mut out);
                } else {
                    flex::product_add(rows, weights, None, &mut out[start..]);
                }
            }
        }
        flex::tensor(out, [batch, time, self.outputs])
    }

    /// What the steps of `x` see, themselves included, `[batch, history + time, inputs]`. Keeps of it
    /// what the next steps see.
    fn window(&self, x: Tensor<3>, past: &mut PooledTensor<3>) -> Tensor<3> {
        let [batch, time, inputs] = x.dims();
        let history = self.history();
        past.update_with(|past| {
            let window = Tensor::cat(vec![past.clone(), x], 1);
            let kept = [0..batch, time..time + history, 0..inputs];
            let all = [0..batch, 0..history, 0..inputs];
            (past.slice_assign(all, window.clone().slice(kept)), window)
        })
    }

    fn portable(&self, window: Tensor<3>, weight: &Tensor<2>) -> Tensor<3> {
        let [batch, steps, inputs] = window.dims();
        let time = steps - self.history();
        let taps = (0..self.taps)
            .map(|tap| {
                let from = tap * self.dilation;
                window
                    .clone()
                    .slice([0..batch, from..from + time, 0..inputs])
            })
            .collect();
        let y = Tensor::cat(taps, 2)
            .reshape([batch * time, self.taps * inputs])
            .matmul(weight.clone())
            .reshape([batch, time, self.outputs]);
        match &self.bias {
            Some(bias) => y + bias.broadcast(),
            None => y,
        }
    }
}

impl Weight {
    /// `rows` is `[outputs, taps, inputs]`.
    fn new(
        rows: &[f32],
        [outputs, taps, inputs]: [usize; 3],
        dilation: usize,
        placement: &Placement,
    ) -> Self {
        #[cfg(feature = "flex")]
        if placement.kernels() {
            return Self::Packed(if dilation == 1 {
                vec![flex::PackedMatrix::pack(rows, outputs, taps * inputs)]
            } else {
                (0..taps)
                    .map(|tap| {
                        let tap_rows: Vec<f32> = rows
                            .chunks_exact(taps * inputs)
                            .flat_map(|row| &row[tap * inputs..(tap + 1) * inputs])
                            .copied()
                            .collect();
                        flex::PackedMatrix::pack(&tap_rows, outputs, inputs)
                    })
                    .collect()
            });
        }
        let _ = dilation;
        Self::Device(tensor_from(
            super::linear::transposed(rows, [outputs, taps * inputs]),
            [taps * inputs, outputs],
            placement.device(),
        ))
    }
}
