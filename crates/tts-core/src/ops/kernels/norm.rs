//! Row-wise normalization and modulation.

use rten_simd::SimdOp;
use rten_vecmath::{ExtendInit, Normalize, NormalizeOptions, Sum, SumSquareSub};

/// Normalizes each row of `width` channels; `affine` is a scale and an offset per channel.
pub(crate) fn layer_norm(
    x: &[f32],
    affine: Option<(&[f32], &[f32])>,
    width: usize,
    epsilon: f32,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for row in x.chunks_exact(width) {
        let mean = Sum::new(row).dispatch() / width as f32;
        let variance = SumSquareSub::new(row, mean).dispatch() / width as f32;
        let scale = 1.0 / (variance + epsilon).sqrt();
        out.extend_init(|spare| {
            Normalize::new(
                row,
                &mut spare[..width],
                NormalizeOptions {
                    pre_scale_bias: mean,
                    scale,
                    element_scale: affine.map(|(scale, _)| scale),
                    element_bias: affine.map(|(_, offset)| offset),
                    ..Default::default()
                },
            )
            .dispatch()
        });
    }
    out
}

/// Computes `x * (1 + scale) + shift` in place; `rows` yields (shift, scale) for each row of `width`
/// channels.
pub(crate) fn modulate<'a>(
    x: &mut [f32],
    rows: impl Iterator<Item = (&'a [f32], &'a [f32])>,
    width: usize,
) {
    for (x, (shift, scale)) in x.chunks_exact_mut(width).zip(rows) {
        for ((x, shift), scale) in x.iter_mut().zip(shift).zip(scale) {
            *x = *x * (1.0 + scale) + shift;
        }
    }
}
