//! Elementwise nonlinearities.

use burn::tensor::{Tensor, activation};

use super::flex::HostTensor;
use super::{Backend, kernels};

/// An elementwise function applied before or after a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x
    Identity,
    /// GELU in its tanh approximation (Hendrycks and Gimpel, 2016)
    GeluTanh,
    /// x * sigmoid(x)
    Silu,
    /// x, or exp(x) - 1 below zero
    Elu,
}

impl Activation {
    /// The portable body.
    pub(crate) fn portable<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Identity => x,
            Self::GeluTanh => activation::gelu_approximate(x),
            Self::Silu => activation::silu(x),
            Self::Elu => activation::elu(x, 1.0),
        }
    }

    /// Applies the function to a tensor of any shape.
    pub(crate) fn forward<const D: usize>(self, x: Tensor<D>, backend: &Backend) -> Tensor<D> {
        if !backend.uses_kernels() {
            return self.portable(x);
        }
        let mut x = HostTensor::new(x);
        kernels::activate(x.values_mut(), self);
        x.into_tensor()
    }
}
