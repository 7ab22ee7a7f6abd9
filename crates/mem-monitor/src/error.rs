//! What can go wrong.

use std::{io, path::PathBuf, time::Duration};

/// What this crate can fail at. Sources never fail: what they cannot read is unknown (`None`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The interval between two samples is too short.
    #[error(
        "check interval of {found:?}: a sample takes tens of microseconds, so at least {least:?} is allowed; \
         use a plugged-in peak counter or the high-water mark for what happens between two samples"
    )]
    IntervalTooShort {
        /// What was asked for.
        found: Duration,
        /// The least that is allowed.
        least: Duration,
    },
    /// The history cannot hold so few buckets.
    #[error(
        "history of {found} buckets: at least {least} are needed to keep old samples at a coarser resolution"
    )]
    HistoryTooSmall {
        /// What was asked for.
        found: usize,
        /// The least that is allowed.
        least: usize,
    },
    /// A configured limit of zero bytes, against which nothing can be measured.
    #[error("memory limit of 0 bytes: give the bytes this process may use, or leave the limit out")]
    ZeroLimit,
    /// An alert rule whose numbers make no sense.
    #[error("alert rule {rule}: {problem}")]
    InvalidRule {
        /// The rule, as it describes itself.
        rule: String,
        /// What was found and what is allowed.
        problem: String,
    },
    /// A thread could not be started.
    #[error(
        "starting the thread {name}: {source}; the process may be at its limit of threads (`ulimit -u`, `pids.max`)"
    )]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A recording or a report could not be written.
    #[error("writing {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A recording would have replaced a file.
    #[error("{path} exists already: choose another name or remove it, recordings replace nothing", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A timeline's picture could not be drawn.
    #[error("drawing a timeline of {width} x {height} pixels: {problem}")]
    Draw {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// What was found and what is allowed.
        problem: String,
    },
}
