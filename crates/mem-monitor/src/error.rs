//! The crate's error type.

use std::{io, path::PathBuf, time::Duration};

/// An error of this crate. Reading sources causes none: a value that cannot be read is unknown (`None`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The check interval is too short.
    #[error(
        "check interval of {found:?} is too short: a sample takes tens of microseconds, so the minimum is {min:?}; \
         for peaks between two samples use a heap counter with a peak or the high-water mark"
    )]
    IntervalTooShort {
        /// The requested interval.
        found: Duration,
        /// The shortest allowed interval.
        min: Duration,
    },
    /// The history capacity is too small.
    #[error("history of {found} buckets is too small: the minimum is {min}")]
    HistoryTooSmall {
        /// The requested capacity.
        found: usize,
        /// The smallest allowed capacity.
        min: usize,
    },
    /// The configured limit is 0 bytes.
    #[error("memory limit is 0 bytes: set a positive limit or leave it out")]
    ZeroLimit,
    /// An alert rule has an invalid threshold or hysteresis.
    #[error("alert rule `{rule}` is invalid: {problem}")]
    InvalidRule {
        /// The rule's description.
        rule: String,
        /// The invalid value and the allowed range.
        problem: String,
    },
    /// The monitor or recording was created before a fork and is used in the child.
    #[error(
        "the memory monitor belongs to the parent of this forked process, and its threads exist only there: create \
         a new monitor in the child"
    )]
    Forked,
    /// A thread could not be started.
    #[error(
        "cannot start the thread {name}; the process may have reached its thread limit (`ulimit -u`, `pids.max`)"
    )]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// The operating system's error.
        source: io::Error,
    },
    /// A recording or a report could not be written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file of a new recording already exists.
    #[error(
        "{path} already exists: recordings never overwrite files; choose another name or remove it",
        path = path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A timeline could not be drawn.
    #[error("cannot draw a timeline of {width} x {height} pixels: {problem}")]
    Draw {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The reason, with the allowed sizes if the size is invalid.
        problem: String,
    },
}
