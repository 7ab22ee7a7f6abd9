//! Elementwise nonlinearities.

use burn::tensor::{Tensor, activation};

/// An elementwise function applied before or after a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x
    Identity,
    /// GELU in its tanh form (Hendrycks and Gimpel, 2016)
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
    pub(crate) fn forward<const D: usize>(self, x: Tensor<D>, kernels: bool) -> Tensor<D> {
        #[cfg(feature = "flex")]
        if kernels {
            let mut x = super::flex::open(x);
            super::flex::activate(x.storage_mut(), self);
            return super::flex::close(x);
        }
        let _ = kernels;
        self.portable(x)
    }
}
