//! Comparison with recorded outputs of the reference, for five small models on every device of the
//! build.
//!
//! All comparisons go through [`compare`]: relative L2 error for tensors, signal-to-noise ratio for
//! audio.

mod batch;
mod compare;
mod fixture;
mod flow_lm;
mod generate;
mod mimi;
mod voice;
