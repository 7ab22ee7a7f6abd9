//! Errors of memory limits and allocations.

use bytesize::ByteSize;

use super::Limit;

const MIB: u64 = 1 << 20;

/// Growth of the program's other memory, in allocations too small to plan, that may happen before the
/// caller tries again with the suggested limit.
const DRIFT_BYTES: u64 = 512 << 10;

/// An error of a memory limit or of an allocation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The state of a stream cannot be allocated.
    #[error("cannot allocate the state of the stream")]
    State(#[from] tensor_pool::Error),
    /// A limit leaves no room for a model, or for one segment of a text.
    #[error(
        "{what} needs up to {} of memory, including {} already in use, and the limit is {limit}: {} too \
         little; {}",
        ByteSize::b(*needed_bytes),
        ByteSize::b(*present_bytes),
        ByteSize::b(limit.shortfall_bytes(*needed_bytes)),
        limit.remedy(*needed_bytes, DRIFT_BYTES)
    )]
    LimitTooLow {
        /// What does not fit.
        what: &'static str,
        /// The limit, and where it comes from.
        limit: Limit,
        /// The maximum that the process would use.
        needed_bytes: u64,
        /// What the process uses already.
        present_bytes: u64,
    },
    /// The limit was exceeded during speech because other code allocated memory.
    #[error(
        "{} of memory are in use and the limit is {}: raise the limit, or free other memory of the program",
        ByteSize::b(*counted_bytes),
        ByteSize::b(*limit_bytes)
    )]
    LimitExceeded {
        /// The limit.
        limit_bytes: u64,
        /// What was in use after everything that can be freed was freed.
        counted_bytes: u64,
    },
    /// The system has no memory for a large allocation.
    #[error("cannot allocate {} for {what}: free some memory, or speak a shorter text", ByteSize::b(*bytes))]
    OutOfMemory {
        /// The purpose of the allocation.
        what: &'static str,
        /// Its size.
        bytes: u64,
    },
}

impl MemoryError {
    /// Returns a limit in MB (1,048,576 bytes) that is sufficient, for [`Self::LimitTooLow`] of a limit
    /// that was set. A limit of the operating system is in other terms, which the message gives.
    #[must_use]
    pub fn sufficient_limit_mb(&self) -> Option<u64> {
        match self {
            Self::LimitTooLow {
                needed_bytes,
                limit: Limit { system: None, .. },
                ..
            } => Some(needed_bytes.saturating_add(DRIFT_BYTES).div_ceil(MIB)),
            _ => None,
        }
    }
}
