//! What the benchmark suites share: the models they run, the limits of the machine they run on, and
//! the process of its own in which a model's memory is measured.
//!
//! The suites lie beside this folder, one file per subject; `cargo xtask bench` runs them.

pub mod allocation;
mod limit;
mod machine;
pub mod memory;
mod models;
mod process;
mod random_model;
mod report;
mod spans;
mod worker;

pub use limit::FrameCost;
pub use machine::{BUFFER_BYTES, Limits, load_average, peak_rss_bytes, reset_peak_rss, rss_bytes};
pub use models::{BenchModel, Loaded, SHORT_TEXT, long_text, several_sentences, without_end};
pub use report::{write_report, write_result};
pub use spans::{SpanTimes, watch_spans};
pub use worker::{Ready, Speech, Worker, serve};

/// What can go wrong in a benchmark ends it; the message is all that is needed.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;
