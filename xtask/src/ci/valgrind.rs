//! The tests of unsafe code under valgrind.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::shell::{cargo, run as execute};

/// Cargo configuration that runs every test binary, and its child processes, under valgrind.
const RUNNER: &str =
    r#"target."cfg(all())".runner = "valgrind --quiet --error-exitcode=1 --trace-children=yes""#;

/// Cases of each property test. Programs are about twenty times slower under valgrind.
const CASES: &str = "8";

/// Skipped tests: they measure the process from outside, or the system's malloc, which valgrind replaces.
const SKIPPED: [&str; 3] = ["trim_returns", "small_blocks", "c_malloc"];

/// Runs the tests of `tensor-pool`, whose unsafe code allocates memory.
///
/// # Errors
///
/// Valgrind is not installed, or it reports an error.
pub(super) fn run() -> Result<()> {
    let version = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if version.is_err() {
        bail!(
            "valgrind is not installed; install it (Debian package `valgrind`), or skip this step with `--skip valgrind`"
        );
    }
    execute(
        cargo("test --package tensor-pool --tests --config")
            .arg(RUNNER)
            .arg("--")
            .args(SKIPPED.iter().flat_map(|name| ["--skip", name]))
            .env("PROPTEST_CASES", CASES),
    )
}
