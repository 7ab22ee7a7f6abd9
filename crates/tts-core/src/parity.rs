//! What the reference computes, for five small models, on every device that the build has.
//!
//! Everything is compared through [`compare`]: relative L2 error for tensors, signal to noise for
//! audio.

mod batch;
mod compare;
mod fixture;
mod flow_lm;
mod generate;
mod mimi;
mod voice;
