//! A pool on top of a checking allocator, and blocks that are freed with their layout.

use std::alloc::{GlobalAlloc, Layout};

use tensor_pool::{AllocatorStats, PoolAllocator};

use crate::checked::Checked;

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;

pub type Pool = PoolAllocator<&'static Checked>;

/// Returns a pool on top of a checking allocator. The checking allocator is leaked: a few bytes per
/// test.
pub fn pool(capacity: u64) -> (Pool, &'static Checked) {
    let inner: &Checked = Box::leak(Box::new(Checked::new()));
    (PoolAllocator::with(inner, capacity), inner)
}

pub fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// A block that is freed with the layout of its allocation.
pub struct Block<'a> {
    pub pool: &'a Pool,
    pub pointer: *mut u8,
    pub layout: Layout,
}

// SAFETY: any thread may use and free a block.
unsafe impl Send for Block<'_> {}

impl<'a> Block<'a> {
    pub fn new(pool: &'a Pool, layout: Layout) -> Self {
        // SAFETY: no test requests 0 bytes.
        let pointer = unsafe { pool.alloc(layout) };
        assert!(!pointer.is_null());
        Self {
            pool,
            pointer,
            layout,
        }
    }

    pub fn zeroed(pool: &'a Pool, layout: Layout) -> Self {
        // SAFETY: no test requests 0 bytes.
        let pointer = unsafe { pool.alloc_zeroed(layout) };
        assert!(!pointer.is_null());
        Self {
            pool,
            pointer,
            layout,
        }
    }

    pub fn of(pool: &'a Pool, size: usize) -> Self {
        Self::new(pool, layout(size))
    }

    pub fn resize(&mut self, size: usize) {
        // SAFETY: the block is live and was allocated with this layout; the size is not 0.
        let pointer = unsafe { self.pool.realloc(self.pointer, self.layout, size) };
        assert!(!pointer.is_null());
        self.pointer = pointer;
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
    }

    pub fn fill(&mut self, byte: u8) {
        // SAFETY: the block is live, not shared, and has that size.
        unsafe { self.pointer.write_bytes(byte, self.layout.size()) };
    }

    /// Whether the first `length` bytes equal `byte`. They must have been written.
    pub fn contains_only(&self, byte: u8, length: usize) -> bool {
        // SAFETY: the block is live, at least `length` bytes long, and written.
        let bytes = unsafe { std::slice::from_raw_parts(self.pointer, length) };
        bytes == vec![byte; length]
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        // SAFETY: the block is live and was allocated with this layout.
        unsafe { self.pool.dealloc(self.pointer, self.layout) };
    }
}

/// Asserts the invariants of the counters. No other call may be in progress.
pub fn assert_consistent(stats: AllocatorStats, inner: &Checked) {
    assert_eq!(
        stats.live_bytes + stats.padding_bytes + stats.retained_bytes,
        inner.outstanding(),
        "{stats:?}"
    );
    assert_eq!(
        stats.total.count,
        stats.from_pool.count + stats.from_inner.count
    );
    assert!(stats.retained_bytes <= stats.capacity_bytes);
    assert!(stats.peak_bytes >= stats.live_bytes);
}
