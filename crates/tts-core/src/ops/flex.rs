//! Kernels for Burn's Flex backend: plain slices in, plain slices out.
//!
//! These are the only places where arithmetic is written by hand. SIMD comes from rten-simd and
//! rten-vecmath, matrix products from rten-gemm; all three choose the CPU's best instructions at
//! run time.

mod attention;
mod gemm;
mod norm;

use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape, Tensor};
use rten_simd::SimdUnaryOp;
use rten_vecmath::{ApproxGelu, Elu, Silu};
use tensor_pool::PooledTensor;

pub(crate) use attention::{Span, attention};
pub(crate) use gemm::{PackedMatrix, Rows, product, product_add};
pub(crate) use norm::{layer_norm, modulate};

use super::Activation;

/// The Flex form of a tensor, contiguous from its buffer's start.
///
/// # Panics
///
/// If the tensor lives on another backend.
pub(crate) fn open<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    let flex = tensor
        .try_into_primitive::<Flex>()
        .expect("weights prepared for Flex meet only Flex tensors");
    match flex.layout().contiguous_offsets() {
        Some((0, end)) if end == flex.storage::<f32>().len() => flex,
        _ => flex.to_contiguous(),
    }
}

/// Back from the Flex form.
pub(crate) fn close<const D: usize>(tensor: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(tensor)
}

/// Lends the values of a leased tensor, to be changed in place.
///
/// # Panics
///
/// If the tensor lives on another backend.
pub(crate) fn edit<const D: usize, R>(
    tensor: &mut PooledTensor<D>,
    change: impl FnOnce(&mut [f32]) -> R,
) -> R {
    tensor.update_with(|tensor| {
        let mut flex = open(tensor);
        let result = change(flex.storage_mut());
        (close(flex), result)
    })
}

/// A tensor that owns `values`.
pub(crate) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    close(FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(Shape::from(shape)),
        DType::F32,
    ))
}

/// Applies an activation in place.
pub(crate) fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::Identity => {}
        Activation::GeluTanh => ApproxGelu {}.map_mut(values),
        Activation::Silu => Silu {}.map_mut(values),
        Activation::Elu => Elu { alpha: 1.0 }.map_mut(values),
    }
}
