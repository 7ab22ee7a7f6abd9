//! The operations that the model is made of, on every device.
//!
//! Activations are `[batch, time, channel]`, so that a linear layer and a causal convolution are
//! both one matrix product over rows that already lie next to each other in memory.
//!
//! Each operation has one portable body in plain `Tensor` methods, which runs on every backend.
//! On Flex, weights are prepared once for rten-gemm ([`flex::PackedMatrix`]), and the operations
//! run fused kernels on slices. Which of the two it is, is decided when a weight is loaded and
//! stays inside this module: no other code of the crate asks for the backend.

mod activation;
pub(crate) mod attention;
mod conv;
#[cfg(all(test, feature = "flex"))]
mod equivalence;
#[cfg(feature = "flex")]
pub(crate) mod flex;
mod linear;
mod modulate;
mod norm;
mod placement;
mod rope;
mod upsample;

pub(crate) use activation::Activation;
pub(crate) use attention::Heads;
pub(crate) use conv::{CausalConv, ConvGeometry, ConvState};
pub(crate) use linear::Linear;
pub(crate) use modulate::{gated_add, modulate};
pub(crate) use norm::LayerNorm;
pub(crate) use placement::{Placement, Vector, tensor_from, vec_from};
pub(crate) use rope::{Rope, RopeTable};
pub(crate) use upsample::DepthwiseUpsample;
