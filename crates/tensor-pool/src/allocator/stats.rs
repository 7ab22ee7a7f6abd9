//! What an allocator's counters say.

/// A number of granted requests and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// How many. A block that is resized is not a further request.
    pub count: u64,
    /// Bytes as requested, and what blocks grew by when resized.
    pub bytes: u64,
}

/// The counts of a [`PoolAllocator`](crate::PoolAllocator): exact once the threads that allocate are
/// quiet; while they are not, each number is right for some moment of the reading.
///
/// What is held from the allocator below is `live_bytes + padding_bytes + retained_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AllocatorStats {
    /// Bytes in use, as requested.
    pub live_bytes: u64,
    /// Blocks in use.
    pub live_blocks: u64,
    /// All requests granted so far.
    pub total: Requests,
    /// Those of `total` that were served with a block from a shelf.
    pub from_pool: Requests,
    /// The others: served by the allocator below.
    pub from_inner: Requests,
    /// Bytes of idle blocks, kept for the next requests.
    pub retained_bytes: u64,
    /// Bytes of blocks in use beyond what was requested: at most an eighth of the large ones.
    pub padding_bytes: u64,
    /// No more than this was live at once, since the start or the last
    /// [`reset_peak`](crate::PoolAllocator::reset_peak).
    pub peak_bytes: u64,
    /// The true peak is at least `peak_bytes - peak_slack_bytes`: 32 KiB for each thread that ever allocated
    /// (a thread that ended passes its share on to the next one).
    pub peak_slack_bytes: u64,
    /// At most this much is retained.
    pub capacity_bytes: u64,
}
