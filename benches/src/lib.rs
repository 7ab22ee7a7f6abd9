//! Shared code of the benchmark suites: the models, the limits of the machine, and measurements in fresh
//! processes.
//!
//! The suites are the files next to this folder, one per subject. `cargo xtask bench` runs them.

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
pub use spans::{SpanTimes, measure_spans};
pub use worker::{Ready, Speech, Worker, serve};

/// The result of a benchmark. An error ends the suite, so only its message matters.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;
