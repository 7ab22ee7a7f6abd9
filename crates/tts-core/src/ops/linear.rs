//! Linear layers.

use burn::tensor::Tensor;

use super::flex::{self, HostTensor};
use super::{Activation, Backend, Matrix, Rows, Vector, kernels};

/// `x W^T + b`, with prepared weights.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    matrix: Matrix,
    bias: Option<Vector>,
}

impl Linear {
    /// Prepares weights stored `[outputs, inputs]`.
    pub(crate) fn new(
        weights: &[f32],
        shape: [usize; 2],
        bias: Option<&[f32]>,
        backend: &Backend,
    ) -> Self {
        Self {
            matrix: Matrix::new(weights, shape, backend),
            bias: bias.map(|bias| Vector::new(bias, backend)),
        }
    }

    /// Bytes of the prepared weights.
    pub(crate) fn bytes(&self) -> usize {
        self.matrix.bytes()
    }

    /// Applies the layer, then the activation.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, inputs] -> [batch, time, outputs]
    pub(crate) fn forward(&self, x: Tensor<3>, activation: Activation) -> Tensor<3> {
        if let Some(weight) = self.matrix.tensor() {
            return activation.portable(self.portable(x, weight));
        }
        let [batch, time, _] = x.dims();
        let x = HostTensor::new(x);
        let rows = Rows::adjacent(x.values(), self.matrix.inputs());
        let mut out = Vec::new();
        self.matrix.product(rows, self.host_bias(), &mut out);
        kernels::activate(&mut out, activation);
        flex::tensor(out, [batch, time, self.matrix.outputs()])
    }

    /// Adds the layer's output to `sum`, in place unless `sum` is shared.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, inputs], `sum` [batch, time, outputs] -> [batch, time, outputs]
    pub(crate) fn forward_add(&self, x: Tensor<3>, sum: Tensor<3>) -> Tensor<3> {
        if let Some(weight) = self.matrix.tensor() {
            return sum + self.portable(x, weight);
        }
        let x = HostTensor::new(x);
        let mut sum = HostTensor::new(sum);
        let rows = Rows::adjacent(x.values(), self.matrix.inputs());
        self.matrix
            .product_add(rows, self.host_bias(), sum.values_mut());
        sum.into_tensor()
    }

    fn host_bias(&self) -> Option<&[f32]> {
        self.bias.as_ref().map(Vector::host)
    }

    fn portable(&self, x: Tensor<3>, weight: &Tensor<2>) -> Tensor<3> {
        let [batch, time, inputs] = x.dims();
        let [_, outputs] = weight.dims();
        let y = x
            .reshape([batch * time, inputs])
            .matmul(weight.clone())
            .reshape([batch, time, outputs]);
        match &self.bias {
            Some(bias) => y + bias.broadcast(),
            None => y,
        }
    }
}
