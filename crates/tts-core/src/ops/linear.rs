//! Linear layers.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::flex;
use super::{Activation, Placement, Vector, tensor_from};

/// `x W^T + b`, with weights prepared for the device.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    weight: Weight,
    bias: Option<Vector>,
}

#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a model has a few hundred of these"
)]
enum Weight {
    #[cfg(feature = "flex")]
    Packed(flex::PackedMatrix),
    /// `[inputs, outputs]`: no backend transposes a weight per call.
    Device(Tensor<2>),
}

impl Linear {
    /// Prepares a layer from weights stored `[outputs, inputs]`.
    pub(crate) fn new(
        weights: &[f32],
        [outputs, inputs]: [usize; 2],
        bias: Option<&[f32]>,
        placement: &Placement,
    ) -> Self {
        debug_assert_eq!(weights.len(), outputs * inputs);
        Self {
            weight: Weight::new(weights, [outputs, inputs], placement),
            bias: bias.map(|bias| Vector::place(bias, placement)),
        }
    }

    /// Bytes of the prepared weights.
    pub(crate) fn bytes(&self) -> usize {
        match &self.weight {
            #[cfg(feature = "flex")]
            Weight::Packed(packed) => packed.bytes(),
            Weight::Device(weight) => weight.shape().num_elements() * size_of::<f32>(),
        }
    }

    /// Applies the layer, then the activation.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, inputs] -> [batch, time, outputs]
    pub(crate) fn forward(&self, x: Tensor<3>, activation: Activation) -> Tensor<3> {
        match &self.weight {
            #[cfg(feature = "flex")]
            Weight::Packed(packed) => {
                let [batch, time, _] = x.dims();
                let x = flex::open(x);
                let mut out = Vec::new();
                flex::product(
                    flex::Rows::adjacent(x.storage(), packed.inputs()),
                    packed,
                    self.host_bias(),
                    &mut out,
                );
                flex::activate(&mut out, activation);
                flex::tensor(out, [batch, time, packed.outputs()])
            }
            Weight::Device(weight) => activation.portable(self.portable(x, weight)),
        }
    }

    /// Adds the layer's output to `sum`, in place where `sum` is not shared.
    ///
    /// # Shapes
    ///
    /// `x` [batch, time, inputs], `sum` [batch, time, outputs] -> [batch, time, outputs]
    pub(crate) fn forward_add(&self, x: Tensor<3>, sum: Tensor<3>) -> Tensor<3> {
        match &self.weight {
            #[cfg(feature = "flex")]
            Weight::Packed(packed) => {
                let x = flex::open(x);
                let mut sum = flex::open(sum);
                flex::product_add(
                    flex::Rows::adjacent(x.storage(), packed.inputs()),
                    packed,
                    self.host_bias(),
                    sum.storage_mut(),
                );
                flex::close(sum)
            }
            Weight::Device(weight) => sum + self.portable(x, weight),
        }
    }

    #[cfg(feature = "flex")]
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

impl Weight {
    fn new(weights: &[f32], [outputs, inputs]: [usize; 2], placement: &Placement) -> Self {
        #[cfg(feature = "flex")]
        if placement.kernels() {
            return Self::Packed(flex::PackedMatrix::pack(weights, outputs, inputs));
        }
        Self::Device(tensor_from(
            transposed(weights, [outputs, inputs]),
            [inputs, outputs],
            placement.device(),
        ))
    }
}

/// A `[rows, columns]` matrix as `[columns, rows]`.
pub(super) fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| values[row * columns + column]))
        .collect()
}
