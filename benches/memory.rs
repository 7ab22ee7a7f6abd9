//! What the memory optimisations buy: loading, speech, voices and limits with all of them and without
//! any, speech without each of them and on other allocators. Every case runs in fresh processes, in
//! turn.
//!
//! Figures are written to `target/bench/memory.json`, of which `cargo xtask bench memory` makes tables,
//! and to `target/bench/memory.html` with plots. Criterion is not used: what is measured is a process
//! from its start to its end, of which time is one figure of several.
//!
//! `--repeats NUMBER` says how many processes there are for each case and setup, `--reference PYTHON`
//! measures the Python package `pocket-tts` beside the large model.

use std::path::Path;

use benches::allocation::SwitchedAllocator;
use benches::memory::{Settings, page, run, serve_task};
use benches::{Result, write_report, write_result};

/// Each process chooses once, for itself.
#[global_allocator]
static ALLOCATOR: SwitchedAllocator = SwitchedAllocator::new();

fn main() -> Result<()> {
    ALLOCATOR.install();
    if serve_task()? {
        return Ok(());
    }
    let settings = Settings::parse(std::env::args().skip(1))?;
    let target_tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let report = run(&settings, &target_tmp.join("english-110m-random"))?;
    write_result(target_tmp, "memory.html", &page(&report)?)?;
    write_report(target_tmp, "memory", &serde_json::to_value(&report)?)
}
