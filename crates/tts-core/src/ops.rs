//! The operations that the model is made of, on every device.
//!
//! Activations are `[batch, time, channel]`, so a linear layer and a causal convolution are both one
//! matrix product over rows that are adjacent in memory.
//!
//! Each operation has a portable body in `Tensor` methods, which runs on every device. On Flex, the
//! [`kernels`] run instead: they work on slices, with weights that are prepared once for rten-gemm
//! ([`Matrix`]). [`Backend`] selects the body; no code outside `ops` and `kv` depends on it.

mod activation;
pub(crate) mod attention;
mod backend;
mod conv;
#[cfg(all(test, feature = "flex"))]
mod equivalence;
pub(crate) mod flex;
pub(crate) mod kernels;
mod linear;
mod matrix;
mod modulate;
mod norm;
mod rope;
mod upsample;

pub(crate) use activation::Activation;
pub(crate) use attention::Heads;
pub(crate) use backend::{Backend, Vector, tensor_from, vec_from, with_values};
pub(crate) use conv::{CausalConv, ConvGeometry, ConvState};
pub(crate) use linear::Linear;
pub(crate) use matrix::{Matrix, Rows, transposed};
pub(crate) use modulate::{gated_add, modulate};
pub(crate) use norm::LayerNorm;
pub(crate) use rope::{Rope, RopeTable};
pub(crate) use upsample::DepthwiseUpsample;
