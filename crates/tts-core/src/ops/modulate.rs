//! Adaptive layer normalization (Peebles and Xie, 2022): shift, scale and gate come from a condition
//! instead of from weights.

use burn::tensor::Tensor;

use super::flex::{self, HostTensor};
use super::norm::normalized;
use super::{Backend, kernels};

/// Shifts and scales `x` by the first two blocks of `condition`.
///
/// `x` is normalized first if `epsilon` is given.
///
/// # Shapes
///
/// `x` [batch, 1, width], `condition` [batch, 1, at least 2 * width]: shift, then scale -> [batch, 1,
/// width]
pub(crate) fn modulate(
    x: Tensor<3>,
    condition: &Tensor<3>,
    epsilon: Option<f32>,
    backend: &Backend,
) -> Tensor<3> {
    let [batch, time, width] = x.dims();
    if backend.uses_kernels() {
        let x = HostTensor::new(x);
        let mut out = match epsilon {
            Some(epsilon) => kernels::layer_norm(x.values(), None, width, epsilon),
            None => x.values().to_vec(),
        };
        let [.., columns] = condition.dims();
        let condition = HostTensor::new(condition.clone());
        let rows = condition
            .values()
            .chunks_exact(columns)
            .map(|row| (&row[..width], &row[width..2 * width]));
        kernels::modulate(&mut out, rows, width);
        return flex::tensor(out, [batch, time, width]);
    }
    let x = match epsilon {
        Some(epsilon) => normalized(x, epsilon),
        None => x,
    };
    let block = |index: usize| {
        condition
            .clone()
            .slice([0..batch, 0..time, index * width..(index + 1) * width])
    };
    x * (block(1) + 1.0) + block(0)
}

/// Computes `x + gate * update`; the gate is the third block of `condition`.
///
/// # Shapes
///
/// `x`, `update` [batch, 1, width], `condition` [batch, 1, 3 * width] -> [batch, 1, width]
pub(crate) fn gated_add(
    x: Tensor<3>,
    update: Tensor<3>,
    condition: &Tensor<3>,
    backend: &Backend,
) -> Tensor<3> {
    let [batch, time, width] = x.dims();
    if backend.uses_kernels() {
        let mut x = HostTensor::new(x);
        let update = HostTensor::new(update);
        let condition = HostTensor::new(condition.clone());
        let rows = x
            .values_mut()
            .chunks_exact_mut(width)
            .zip(update.values().chunks_exact(width))
            .zip(condition.values().chunks_exact(3 * width));
        for ((x, update), condition) in rows {
            for ((x, update), gate) in x.iter_mut().zip(update).zip(&condition[2 * width..]) {
                *x += gate * update;
            }
        }
        return x.into_tensor();
    }
    let gate = condition
        .clone()
        .slice([0..batch, 0..time, 2 * width..3 * width]);
    x + gate * update
}
