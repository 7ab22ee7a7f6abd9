//! Adaptive layer normalisation (Peebles and Xie, 2022): shift, scale and gate come from a
//! condition instead of from weights.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::flex;
use super::norm::normalized;

/// Shifts and scales `x` by the first two thirds (or halves) of `condition`.
///
/// `x` is normalised already, or is normalised here when `epsilon` is given.
///
/// # Shapes
///
/// `x` [batch, 1, width], `condition` [batch, 1, at least 2 * width]: shift, then scale -> [batch,
/// 1, width]
pub(crate) fn modulate(
    x: Tensor<3>,
    condition: &Tensor<3>,
    epsilon: Option<f32>,
    kernels: bool,
) -> Tensor<3> {
    let [batch, time, width] = x.dims();
    #[cfg(feature = "flex")]
    if kernels {
        let x = flex::open(x);
        let mut out = match epsilon {
            Some(epsilon) => flex::layer_norm(x.storage(), None, width, epsilon),
            None => x.storage::<f32>().to_vec(),
        };
        let [.., columns] = condition.dims();
        let condition = flex::open(condition.clone());
        let rows = condition
            .storage::<f32>()
            .chunks_exact(columns)
            .map(|row| (&row[..width], &row[width..2 * width]));
        flex::modulate(&mut out, rows, width);
        return flex::tensor(out, [batch, time, width]);
    }
    let _ = kernels;
    let x = match epsilon {
        Some(epsilon) => normalized(x, epsilon),
        None => x,
    };
    let part = |index: usize| {
        condition
            .clone()
            .slice([0..batch, 0..time, index * width..(index + 1) * width])
    };
    x * (part(1) + 1.0) + part(0)
}

/// `x + gate * update`; the gate is the last third of `condition`.
///
/// # Shapes
///
/// `x`, `update` [batch, 1, width], `condition` [batch, 1, 3 * width] -> [batch, 1, width]
pub(crate) fn gated_add(
    x: Tensor<3>,
    update: Tensor<3>,
    condition: &Tensor<3>,
    kernels: bool,
) -> Tensor<3> {
    let [batch, time, width] = x.dims();
    #[cfg(feature = "flex")]
    if kernels {
        let mut x = flex::open(x);
        let update = flex::open(update);
        let condition = flex::open(condition.clone());
        let rows = x
            .storage_mut::<f32>()
            .chunks_exact_mut(width)
            .zip(update.storage::<f32>().chunks_exact(width))
            .zip(condition.storage::<f32>().chunks_exact(3 * width));
        for ((x, update), condition) in rows {
            for ((x, update), gate) in x.iter_mut().zip(update).zip(&condition[2 * width..]) {
                *x += gate * update;
            }
        }
        return flex::close(x);
    }
    let _ = kernels;
    let gate = condition
        .clone()
        .slice([0..batch, 0..time, 2 * width..3 * width]);
    x + gate * update
}
