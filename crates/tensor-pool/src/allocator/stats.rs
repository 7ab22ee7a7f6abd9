//! A snapshot of an allocator's counters.

/// The number of granted requests and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// Number of requests. A block that is resized in place or by the inner allocator is not a
    /// further request. A block that moves to another size class, or between the pool and the small
    /// blocks, is one.
    pub count: u64,
    /// Requested bytes, including growth of resized blocks.
    pub bytes: u64,
}

/// The counts of a [`PoolAllocator`](crate::PoolAllocator). They are exact if no thread allocates
/// or frees. Otherwise each value is exact for some moment during the read.
///
/// The memory allocated from the inner allocator is `live_bytes + padding_bytes + retained_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AllocatorStats {
    /// Bytes in use, as requested.
    pub live_bytes: u64,
    /// Blocks in use.
    pub live_blocks: u64,
    /// All requests granted so far.
    pub total: Requests,
    /// The requests that were served with a block from a shelf.
    pub from_pool: Requests,
    /// The requests that were served by the inner allocator.
    pub from_inner: Requests,
    /// Bytes of idle blocks that are retained for later requests.
    pub retained_bytes: u64,
    /// Bytes of blocks in use in addition to the requested bytes: at most an eighth of the large
    /// requests.
    pub padding_bytes: u64,
    /// Upper bound of the live bytes at any time since the start or the last
    /// [`reset_peak`](crate::PoolAllocator::reset_peak).
    pub peak_bytes: u64,
    /// The true peak is at least `peak_bytes - peak_slack_bytes`. The slack is 32 KiB for each
    /// thread that ever allocated; a new thread reuses the share of an ended one.
    pub peak_slack_bytes: u64,
    /// Maximum number of retained bytes.
    pub capacity_bytes: u64,
}
