//! Streaming causal convolutions.
//!
//! Every convolution of Mimi becomes a causal convolution with stride 1 over `[time, channel]`:
//! - A convolution with stride `S` reads `S` adjacent inputs as one input with `S` times the channels.
//! - A transposed convolution with stride `S` writes one output with `S` times the channels, which is
//!   then read as `S` outputs. An output depends on the current input and the `kernel / S - 1` inputs
//!   before it, so the state holds past inputs instead of the overlapping tails of past outputs.
//!
//! Both are reshapes that move no data. What remains is one matrix product per call, whose left rows
//! are overlapping windows of the input: there is no im2col.

use burn::tensor::Tensor;
use tensor_pool::PooledTensor;

use super::flex::{self, HostTensor};
use super::{Activation, Backend, Matrix, Rows, Vector, kernels};
use crate::ledger::CONVOLUTION_HISTORY_TAG;
use crate::state::StateMemory;

/// Sizes of a convolution as the weights file stores it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvGeometry {
    /// Input channels.
    pub(crate) inputs: usize,
    /// Output channels.
    pub(crate) outputs: usize,
    /// Kernel width.
    pub(crate) kernel: usize,
    /// Inputs per output, or outputs per input if transposed.
    pub(crate) stride: usize,
    /// Distance between kernel taps.
    pub(crate) dilation: usize,
    /// Replicate padding: the first input is repeated to the left instead of zeros.
    pub(crate) replicate: bool,
}

/// A causal convolution with prepared weights.
#[derive(Debug)]
pub(crate) struct CausalConv {
    /// One matrix over all taps. On the host, taps that are not adjacent have one matrix each.
    matrices: Vec<Matrix>,
    bias: Option<Vector>,
    /// Taps of the stride-1 form.
    taps: usize,
    dilation: usize,
    /// Adjacent inputs that are read as one.
    fold: usize,
    /// Adjacent outputs that are written as one.
    unfold: usize,
    /// Channels of a folded input.
    inputs: usize,
    /// Channels of a folded output.
    outputs: usize,
    replicate: bool,
}

/// The past inputs of a batch of streams that later outputs depend on.
#[derive(Debug)]
pub(crate) struct ConvState {
    /// `[batch, history, channel]`; `None` if an output depends on one input only.
    past: Option<PooledTensor<3>>,
    has_started: bool,
}

impl CausalConv {
    /// A convolution with weights stored `[outputs, inputs, kernel]`.
    pub(crate) fn new(
        weights: &[f32],
        bias: Option<&[f32]>,
        geometry: ConvGeometry,
        backend: &Backend,
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
        // [outputs, taps, stride * inputs]; a kernel that is no multiple of the stride is padded with
        // zeros at its old end.
        let rows = || {
            let mut rows = vec![0.0; outputs * taps * stride * inputs];
            for output in 0..outputs {
                for input in 0..inputs {
                    for k in 0..kernel {
                        rows[(output * taps * stride + missing + k) * inputs + input] =
                            weights[(output * inputs + input) * kernel + k];
                    }
                }
            }
            rows
        };
        let shape = [outputs, taps, stride * inputs];
        Self {
            matrices: matrices(rows, shape, dilation, backend),
            bias: bias.map(|bias| Vector::new(bias, backend)),
            taps,
            dilation,
            fold: stride,
            unfold: 1,
            inputs: stride * inputs,
            outputs,
            replicate: geometry.replicate,
        }
    }

    /// A transposed convolution with weights stored `[inputs, outputs, kernel]`.
    pub(crate) fn transposed(
        weights: &[f32],
        bias: Option<&[f32]>,
        geometry: ConvGeometry,
        backend: &Backend,
    ) -> Self {
        let ConvGeometry {
            inputs,
            outputs,
            kernel,
            stride,
            ..
        } = geometry;
        let taps = kernel.div_ceil(stride);
        // [stride * outputs, taps, inputs]; kernel position k = age * stride + phase connects the
        // output's phase with the input that is `age` inputs old. The oldest tap is first.
        let rows = || {
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
            rows
        };
        let bias = bias.map(|bias| Vector::new(&bias.repeat(stride), backend));
        Self {
            matrices: matrices(rows, [stride * outputs, taps, inputs], 1, backend),
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
        self.matrices.iter().map(Matrix::bytes).sum()
    }

    /// Folded inputs that the state holds.
    fn history(&self) -> usize {
        (self.taps - 1) * self.dilation
    }

    /// Elements of the state of one stream.
    pub(crate) fn state_elements(&self) -> usize {
        self.history() * self.inputs
    }

    /// Outputs for `count` inputs.
    pub(crate) fn outputs_for(&self, count: usize) -> usize {
        count / self.fold * self.unfold
    }

    /// Channels of an output.
    pub(crate) fn output_channels(&self) -> usize {
        self.outputs / self.unfold
    }

    /// Upper bound of elements that `forward` allocates for `count` inputs, including the output.
    pub(crate) fn scratch_elements(&self, count: usize) -> usize {
        let time = count / self.fold;
        let window = (self.history() + time) * self.inputs;
        let product = time * self.outputs;
        if self.matrices.iter().any(|matrix| matrix.tensor().is_some()) {
            // The activation's output, the window, the history cut out of it, the taps and their
            // concatenation, the product without and with its bias.
            4 * window + 2 * time * self.taps * self.inputs + 2 * product
        } else {
            window + product
        }
    }

    /// The state of streams that have not started: all past inputs are zero.
    ///
    /// # Errors
    ///
    /// The pool cannot lease the state.
    pub(crate) fn state(
        &self,
        batch: usize,
        memory: &StateMemory,
    ) -> Result<ConvState, tensor_pool::Error> {
        let shape = [batch, self.history(), self.inputs];
        let past = if self.history() > 0 {
            Some(memory.zeros(shape, CONVOLUTION_HISTORY_TAG)?)
        } else {
            None
        };
        Ok(ConvState {
            past,
            has_started: false,
        })
    }

    /// Fills the history with the first input.
    fn replicate_first(
        &self,
        x: &Tensor<3>,
        past: &mut PooledTensor<3>,
        before: Activation,
        backend: &Backend,
    ) {
        let [batch, _, channels] = x.dims();
        let first = x.clone().slice([0..batch, 0..1, 0..channels]);
        let shape = past.dims();
        let repeated = before
            .forward(first, backend)
            .repeat_dim(1, self.history() * self.fold)
            .reshape(shape);
        past.update(|past| past.slice_assign(shape.map(|axis| 0..axis), repeated));
    }

    /// Convolves the next inputs of a batch of streams, after applying `before` to them.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, input channel], time a multiple of the stride -> [batch, time / stride, output
    /// channel], or [batch, time * stride, output channel] if transposed
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        state: &mut ConvState,
        before: Activation,
        backend: &Backend,
    ) -> Tensor<3> {
        let [batch, time, channels] = x.dims();
        debug_assert_eq!((time % self.fold, channels * self.fold), (0, self.inputs));
        let ConvState { past, has_started } = state;
        if let Some(past) = past
            && self.replicate
            && !*has_started
        {
            self.replicate_first(&x, past, before, backend);
        }
        *has_started = true;
        let x = x.reshape([batch, time / self.fold, self.inputs]);
        let y = match (self.matrices.first().and_then(Matrix::tensor), past) {
            (None, Some(past)) => flex::edit(past, |past| self.kernel(x, past, before)),
            (None, None) => self.kernel(x, &mut [], before),
            (Some(weight), past) => {
                let x = before.portable(x);
                let window = match past {
                    Some(past) => self.window(x, past),
                    None => x,
                };
                self.portable(window, weight)
            }
        };
        let [_, time, _] = y.dims();
        y.reshape([batch, time * self.unfold, self.output_channels()])
    }

    /// Computes on slices. `past` is `[batch, history, inputs]` and is updated for the next call.
    fn kernel(&self, x: Tensor<3>, past: &mut [f32], before: Activation) -> Tensor<3> {
        let [batch, time, inputs] = x.dims();
        let x = HostTensor::new(x);
        let x = x.values();
        let history = self.history() * inputs;
        let bias = self.bias.as_ref().map(Vector::host);
        let mut out = Vec::with_capacity(batch * time * self.outputs);
        let mut window = Vec::with_capacity(history + time * inputs);
        for row in 0..batch {
            let past = &mut past[row * history..(row + 1) * history];
            window.clear();
            window.extend_from_slice(past);
            window.extend_from_slice(&x[row * time * inputs..(row + 1) * time * inputs]);
            kernels::activate(&mut window[history..], before);
            past.copy_from_slice(&window[time * inputs..]);

            let start = out.len();
            for (tap, matrix) in self.matrices.iter().enumerate() {
                let rows = Rows {
                    data: &window[tap * self.dilation * inputs..],
                    count: time,
                    stride: inputs,
                };
                if tap == 0 {
                    matrix.product(rows, bias, &mut out);
                } else {
                    matrix.product_add(rows, None, &mut out[start..]);
                }
            }
        }
        flex::tensor(out, [batch, time, self.outputs])
    }

    /// The history followed by `x`, `[batch, history + time, inputs]`. Updates the history.
    fn window(&self, x: Tensor<3>, past: &mut PooledTensor<3>) -> Tensor<3> {
        let [batch, time, inputs] = x.dims();
        let history = self.history();
        past.update_with(|past| {
            let window = Tensor::cat(vec![past.clone(), x], 1);
            let last = [0..batch, time..time + history, 0..inputs];
            let all = [0..batch, 0..history, 0..inputs];
            (past.slice_assign(all, window.clone().slice(last)), window)
        })
    }

    fn portable(&self, window: Tensor<3>, weight: &Tensor<2>) -> Tensor<3> {
        let [batch, length, inputs] = window.dims();
        let time = length - self.history();
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

/// Prepares `rows`, `[outputs, taps, inputs]`: as one matrix, or as one matrix per tap for the kernels
/// if the taps are not adjacent.
fn matrices(
    rows: impl FnOnce() -> Vec<f32>,
    [outputs, taps, inputs]: [usize; 3],
    dilation: usize,
    backend: &Backend,
) -> Vec<Matrix> {
    let rows = match backend {
        Backend::DryRun => Vec::new(),
        Backend::Kernels(_) | Backend::Portable(_) => rows(),
    };
    if dilation == 1 || matches!(backend, Backend::Portable(_)) {
        return vec![Matrix::new(&rows, [outputs, taps * inputs], backend)];
    }
    (0..taps)
        .map(|tap| {
            let tap_rows: Vec<f32> = rows
                .chunks_exact(taps * inputs)
                .flat_map(|row| &row[tap * inputs..(tap + 1) * inputs])
                .copied()
                .collect();
            Matrix::new(&tap_rows, [outputs, inputs], backend)
        })
        .collect()
}
