//! Kernels on slices, which run on Flex.
//!
//! Hand-written arithmetic is confined to this module. SIMD comes from rten-simd and rten-vecmath,
//! matrix products come from rten-gemm (see [`super::Matrix`]). All three select the CPU's best
//! instructions at run time.

mod attention;
mod norm;

use rten_simd::SimdUnaryOp;
use rten_vecmath::{ApproxGelu, Elu, Silu};

pub(crate) use attention::{Span, attention};
pub(crate) use norm::{layer_norm, modulate};

use super::Activation;

/// Applies an activation in place.
pub(crate) fn activate(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::Identity => {}
        Activation::GeluTanh => ApproxGelu {}.map_mut(values),
        Activation::Silu => Silu {}.map_mut(values),
        Activation::Elu => Elu { alpha: 1.0 }.map_mut(values),
    }
}
