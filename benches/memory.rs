//! The effect of the memory optimisations: loading, speech, voices and limits with all optimisations and
//! without any, speech without each of them and on other allocators. Every case runs in fresh processes
//! that take turns.
//!
//! The report is written to `target/bench/memory.json`, which `cargo xtask bench memory` prints, and to
//! `target/bench/memory.html` with plots. Criterion is not used, because time is only one figure of a
//! process that is measured from start to end.
//!
//! `--repeats NUMBER` sets the number of processes for each case and setup. `--reference PYTHON` also
//! measures the Python package `pocket-tts` with the large model.

use std::path::Path;

use benches::allocation::SwitchedAllocator;
use benches::memory::{Settings, page, run, serve_task};
use benches::{Result, write_report, write_result};

/// Each process chooses its allocator once.
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
    write_report(target_tmp, "memory", &report)
}
