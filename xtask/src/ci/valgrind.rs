//! The tests of unsafe code under valgrind.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::shell::{cargo, run as execute};

/// Runs every test binary, and the processes that it starts, under valgrind.
const RUNNER: &str =
    r#"target."cfg(all())".runner = "valgrind --quiet --error-exitcode=1 --trace-children=yes""#;

/// Cases of each property test: a program is some twenty times slower under valgrind.
const CASES: &str = "8";

/// These measure the process from outside, or the system's malloc, in whose place valgrind has its own.
const SKIPPED: [&str; 2] = ["trim_returns", "small_blocks"];

/// Runs the tests of the crate whose unsafe code allocates.
///
/// # Errors
///
/// Valgrind is not installed, or it finds an error.
pub(super) fn run() -> Result<()> {
    let version = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if version.is_err() {
        bail!(
            "there is no valgrind; install it (Debian's package is `valgrind`), or leave this step out with `--skip valgrind`"
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
