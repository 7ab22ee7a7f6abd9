//! The allocator on top of a checking allocator. Also run under valgrind.

#[path = "allocator/checked.rs"]
mod checked;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;

use checked::Checked;
use tensor_pool::{AllocatorStats, PoolAllocator};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

type Pool = PoolAllocator<&'static Checked>;

/// Returns a pool on top of a checking allocator. The checking allocator is leaked: a few bytes per
/// test.
fn pool(capacity: u64) -> (Pool, &'static Checked) {
    let inner: &Checked = Box::leak(Box::new(Checked::new()));
    (PoolAllocator::with(inner, capacity), inner)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// A block that is freed with the layout of its allocation.
struct Block<'a> {
    pool: &'a Pool,
    pointer: *mut u8,
    layout: Layout,
}

// SAFETY: any thread may use and free a block.
unsafe impl Send for Block<'_> {}

impl<'a> Block<'a> {
    fn new(pool: &'a Pool, layout: Layout) -> Self {
        // SAFETY: no test requests 0 bytes.
        let pointer = unsafe { pool.alloc(layout) };
        assert!(!pointer.is_null());
        Self {
            pool,
            pointer,
            layout,
        }
    }

    fn zeroed(pool: &'a Pool, layout: Layout) -> Self {
        // SAFETY: no test requests 0 bytes.
        let pointer = unsafe { pool.alloc_zeroed(layout) };
        assert!(!pointer.is_null());
        Self {
            pool,
            pointer,
            layout,
        }
    }

    fn of(pool: &'a Pool, size: usize) -> Self {
        Self::new(pool, layout(size))
    }

    fn resize(&mut self, size: usize) {
        // SAFETY: the block is live and was allocated with this layout; the size is not 0.
        let pointer = unsafe { self.pool.realloc(self.pointer, self.layout, size) };
        assert!(!pointer.is_null());
        self.pointer = pointer;
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
    }

    fn fill(&mut self, byte: u8) {
        // SAFETY: the block is live, not shared, and has that size.
        unsafe { self.pointer.write_bytes(byte, self.layout.size()) };
    }

    /// Whether the first `length` bytes equal `byte`. They must have been written.
    fn contains_only(&self, byte: u8, length: usize) -> bool {
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
fn assert_consistent(stats: AllocatorStats, inner: &Checked) {
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

#[test]
fn freed_large_block_serves_the_next_request_of_its_class() {
    let (pool, inner) = pool(64 << 20);
    let mut first = Block::of(&pool, MIB);
    first.fill(1);
    let pointer = first.pointer;
    drop(first);
    assert_eq!(pool.stats().retained_bytes, 1 << 20);
    let again = Block::of(&pool, MIB - 1);
    assert_eq!(again.pointer, pointer);
    if cfg!(debug_assertions) {
        assert!(again.contains_only(0xA5, MIB - 1));
    }
    assert_eq!(inner.requests(), 1);
    let stats = pool.stats();
    assert_eq!(stats.from_pool.bytes, (MIB - 1) as u64);
    assert_eq!(stats.padding_bytes, 1);
    assert_consistent(stats, inner);
}

#[test]
fn small_and_very_large_requests_are_not_pooled() {
    let (pool, inner) = pool(128 << 20);
    for size in [1, 64 * KIB - 1, 32 * MIB + 1] {
        let block = Block::of(&pool, size);
        assert_eq!(inner.layout_of(block.pointer).size(), size);
        drop(block);
        assert_eq!(pool.stats().retained_bytes, 0);
        assert_eq!(inner.outstanding(), 0);
    }
    assert_eq!(pool.stats().from_inner.count, 3);
}

#[test]
fn padding_is_at_most_an_eighth() {
    let (pool, inner) = pool(0);
    for size in (64 * KIB..=32 * MIB).step_by(77_777) {
        let block = Block::of(&pool, size);
        let allocated = inner.layout_of(block.pointer).size();
        assert!(allocated >= size && allocated - size <= size / 8);
        assert_eq!(pool.stats().padding_bytes, (allocated - size) as u64);
    }
}

#[test]
fn large_blocks_are_aligned_to_16_or_to_the_requested_alignment() {
    let (pool, inner) = pool(64 << 20);
    for (requested, expected) in [(1, 16), (16, 16), (64, 64), (4096, 4096), (MIB, MIB)] {
        let block = Block::new(&pool, Layout::from_size_align(MIB, requested).unwrap());
        assert_eq!(inner.layout_of(block.pointer).align(), expected);
        assert_eq!(block.pointer.addr() % requested, 0);
    }
}

#[test]
fn retained_block_serves_only_requests_of_its_alignment() {
    let (pool, inner) = pool(64 << 20);
    let aligned = |align| Layout::from_size_align(MIB, align).unwrap();
    let retained = Block::new(&pool, aligned(64)).pointer;
    assert_ne!(Block::new(&pool, aligned(16)).pointer, retained);
    assert_ne!(Block::new(&pool, aligned(128)).pointer, retained);
    assert_eq!(pool.stats().from_pool.count, 0);
    assert_eq!(Block::new(&pool, aligned(64)).pointer, retained);
    assert_eq!(pool.stats().from_pool.count, 1);
    // The alignment is too large to be stored in the low bits of an address, so the block is not retained.
    let retained_bytes = pool.stats().retained_bytes;
    drop(Block::new(&pool, aligned(MIB)));
    assert_eq!(pool.stats().retained_bytes, retained_bytes);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn zeroed_blocks_are_zero_and_new_ones_are_zeroed_by_the_inner_allocator() {
    let (pool, inner) = pool(64 << 20);
    let mut fresh = Block::zeroed(&pool, layout(MIB));
    assert_eq!(inner.zeroed_requests(), 1);
    assert!(fresh.contains_only(0, MIB));
    fresh.fill(7);
    let pointer = fresh.pointer;
    drop(fresh);
    let recycled = Block::zeroed(&pool, layout(MIB));
    assert_eq!(recycled.pointer, pointer);
    assert!(recycled.contains_only(0, MIB));
    assert_eq!(inner.requests(), 1);
}

#[test]
fn small_zeroed_blocks_are_zero_if_the_inner_allocator_reuses_memory() {
    let (pool, inner) = pool(64 << 20);
    for size in [1, 24, 1000, 4 * KIB] {
        // The system allocator reuses the block that was freed last.
        Block::of(&pool, size).fill(7);
        assert!(Block::zeroed(&pool, layout(size)).contains_only(0, size));
    }
    assert_eq!(inner.zeroed_requests(), 0);
    assert!(Block::zeroed(&pool, layout(4 * KIB + 1)).contains_only(0, 4 * KIB + 1));
    assert_eq!(inner.zeroed_requests(), 1);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn small_block_grows_by_moving_and_is_otherwise_resized_by_the_inner_allocator() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 16);
    block.fill(3);
    // Grow to a page, grow beyond a page, shrink.
    for (size, requests, resizes) in [
        (17, 2, 0),
        (4 * KIB, 3, 0),
        (4 * KIB + 1, 3, 1),
        (1000, 3, 2),
    ] {
        block.resize(size);
        assert_eq!((inner.requests(), inner.resizes()), (requests, resizes));
        assert_eq!(inner.layout_of(block.pointer), layout(size));
        assert!(block.contains_only(3, 16));
        assert_eq!(pool.stats().live_bytes, size as u64);
        assert_consistent(pool.stats(), inner);
    }
    // One request plus the growth.
    assert_eq!(pool.stats().total.count, 1);
    assert_eq!(pool.stats().total.bytes, (4 * KIB + 1) as u64);
}

#[test]
fn small_block_that_cannot_grow_is_unchanged() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 100);
    block.fill(3);
    let before = pool.stats();
    inner.limit(299);
    // SAFETY: the block is live, and the new size is not 0.
    let refused = unsafe { pool.realloc(block.pointer, block.layout, 200) };
    assert!(refused.is_null());
    assert!(block.contains_only(3, 100));
    assert_eq!(pool.stats(), before);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn resizing_within_a_class_stays_in_place() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, MIB + 1);
    let pointer = block.pointer;
    for size in [MIB + MIB / 8, MIB + 77, MIB + MIB / 8 - 5] {
        block.resize(size);
        assert_eq!(block.pointer, pointer);
        assert_eq!(pool.stats().live_bytes, size as u64);
        assert_consistent(pool.stats(), inner);
    }
    assert_eq!(pool.stats().total.count, 1);
    assert_eq!(inner.requests(), 1);
}

#[test]
fn resizing_out_of_a_class_retains_the_old_block() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, MIB);
    block.fill(3);
    block.resize(2 * MIB);
    assert!(block.contains_only(3, MIB));
    assert_eq!(pool.stats().retained_bytes, 1 << 20);
    block.resize(MIB);
    assert!(block.contains_only(3, MIB));
    assert_eq!(inner.requests(), 2);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn very_large_block_is_resized_by_the_inner_allocator() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 20 * MIB);
    for (size, calls) in [(40 * MIB, 1), (50 * MIB, 2), (24 * MIB, 3)] {
        block.resize(size);
        assert_eq!(inner.resizes(), calls, "to {size}");
        assert_consistent(pool.stats(), inner);
    }
    drop(block);
    // Its size belongs to a class again, so it is retained.
    assert_eq!(pool.stats().retained_bytes, 24 << 20);
}

#[test]
fn zero_capacity_counts_but_neither_retains_nor_moves_blocks() {
    let (pool, inner) = pool(0);
    let mut block = Block::of(&pool, MIB);
    block.resize(3 * MIB);
    assert_eq!(inner.resizes(), 1);
    assert_consistent(pool.stats(), inner);
    drop(block);
    assert_eq!(inner.outstanding(), 0);
    assert_eq!(pool.stats().total.bytes, 3 << 20);
    assert_eq!(pool.stats().from_pool.bytes, 0);
}

#[test]
fn capacity_limits_retained_bytes_and_lowering_it_frees_blocks_immediately() {
    let (pool, inner) = pool(8 << 20);
    let blocks: Vec<_> = (0..12).map(|_| Block::of(&pool, MIB)).collect();
    drop(blocks);
    assert_eq!(pool.stats().retained_bytes, 8 << 20);
    assert_eq!(inner.outstanding(), 8 << 20);
    pool.set_capacity(3 << 20);
    assert_eq!(inner.outstanding(), 3 << 20);
    drop(Block::of(&pool, 64 * KIB));
    assert_eq!(
        inner.outstanding(),
        3 << 20,
        "a block above the capacity is freed"
    );
    pool.set_capacity(0);
    assert_eq!(inner.outstanding(), 0);
    drop(Block::of(&pool, MIB));
    assert_eq!(inner.outstanding(), 0);
    pool.set_capacity(1 << 20);
    drop(Block::of(&pool, MIB));
    assert_eq!(pool.stats().retained_bytes, 1 << 20);
}

#[test]
fn full_class_frees_further_blocks() {
    let (pool, inner) = pool(u64::MAX);
    let blocks: Vec<_> = (0..200).map(|_| Block::of(&pool, 64 * KIB)).collect();
    drop(blocks);
    // A class has 128 slots.
    assert_eq!(pool.stats().retained_bytes, 8 << 20);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn trim_frees_the_largest_blocks_first_down_to_its_target() {
    let (pool, inner) = pool(64 << 20);
    drop([MIB, 4 * MIB, 64 * KIB, 16 * MIB].map(|size| Block::of(&pool, size)));
    assert_eq!(pool.trim(6 << 20), 16 << 20);
    assert_eq!(pool.stats().retained_bytes, (5 << 20) + (64 << 10));
    assert_eq!(
        pool.trim(64 << 10),
        5 << 20,
        "the smallest block is retained"
    );
    assert_eq!(pool.trim(0), 64 << 10);
    assert_eq!(inner.outstanding(), 0);
}

#[test]
fn decay_frees_only_unused_blocks() {
    let (pool, inner) = pool(64 << 20);
    // A burst uses six blocks, steady work uses two.
    drop((0..6).map(|_| Block::of(&pool, MIB)).collect::<Vec<_>>());
    assert_eq!(pool.decay(), 0, "all blocks were used since the last call");
    drop([MIB, MIB].map(|size| Block::of(&pool, size)));
    assert_eq!(pool.decay(), 4 << 20);
    assert_eq!(pool.stats().retained_bytes, 2 << 20);
    drop([MIB, MIB].map(|size| Block::of(&pool, size)));
    assert_eq!(pool.decay(), 0, "both blocks were used");
    assert_eq!(pool.decay(), 2 << 20, "neither block was used");
    assert_eq!(inner.outstanding(), 0);
}

#[test]
fn retained_blocks_are_freed_before_a_request_fails() {
    let (pool, inner) = pool(64 << 20);
    inner.limit(10 * MIB);
    drop(Block::of(&pool, 8 * MIB));
    let block = Block::of(&pool, 4 * MIB);
    assert_eq!(pool.stats().retained_bytes, 0);
    // SAFETY: the size is not 0.
    let refused = unsafe { pool.alloc(layout(8 * MIB)) };
    assert!(refused.is_null());
    assert_eq!(
        pool.stats().live_bytes,
        4 << 20,
        "a failed request is not counted"
    );
    drop(block);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn dropping_the_allocator_frees_retained_blocks() {
    let (pool, inner) = pool(64 << 20);
    drop(Block::of(&pool, MIB));
    drop(Block::new(
        &pool,
        Layout::from_size_align(MIB, 256).unwrap(),
    ));
    assert_eq!(inner.outstanding(), 2 << 20);
    drop(pool);
    assert_eq!(inner.outstanding(), 0);
}

#[test]
fn peak_is_within_its_slack_if_another_thread_has_pending_frees() {
    // Amounts around the size at which a thread publishes its pending balance.
    for freed in (0..=40).map(|blocks| blocks * KIB) {
        let (pool, _) = pool(64 << 20);
        let (freed_barrier, checked_barrier) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut small: Vec<_> = (0..40).map(|_| Block::of(&pool, KIB)).collect();
                small.truncate(40 - freed / KIB);
                freed_barrier.wait();
                checked_barrier.wait();
            });
            freed_barrier.wait();
            drop(Block::of(&pool, MIB));
            let stats = pool.stats();
            checked_barrier.wait();
            let expected = (MIB + 40 * KIB - freed) as u64;
            assert!(stats.peak_bytes >= expected, "{stats:?}");
            assert!(
                stats.peak_bytes <= expected + stats.peak_slack_bytes,
                "{stats:?}"
            );
        });
    }
}

#[test]
fn concurrent_reads_return_consistent_counts() {
    const ROUNDS: u64 = 100_000;
    // Large enough that each allocation does more than update the counters.
    const SIZE: usize = 20 * KIB;
    static POOL: PoolAllocator = PoolAllocator::new();
    thread::scope(|scope| {
        let counting = scope.spawn(|| {
            for _ in 0..ROUNDS {
                // SAFETY: the size is not 0, and the block is freed with the layout of its allocation.
                unsafe {
                    let block = POOL.alloc(layout(SIZE));
                    POOL.dealloc(block, layout(SIZE));
                }
            }
        });
        let mut before = POOL.stats();
        while !counting.is_finished() {
            let now = POOL.stats();
            let (last, total) = (before.total, now.total);
            assert!(total.count >= last.count, "{before:?}, {now:?}");
            assert!(total.bytes >= last.bytes, "{before:?}, {now:?}");
            assert_eq!(total.bytes % SIZE as u64, 0, "{now:?}");
            before = now;
        }
    });
    assert_eq!(POOL.stats().total.count, ROUNDS);
}

#[test]
fn resizes_of_a_thread_without_allocations_are_counted() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 100);
    thread::scope(|scope| {
        scope.spawn(|| block.resize(250));
    });
    let stats = pool.stats();
    assert_eq!((stats.live_bytes, stats.total.bytes), (250, 250));
    drop(block);
    assert_consistent(pool.stats(), inner);
}

#[test]
fn peak_is_an_upper_bound_within_its_slack() {
    let (pool, _) = pool(64 << 20);
    let bounds = |expected: usize| {
        let stats = pool.stats();
        let expected = expected as u64;
        assert!(stats.peak_bytes >= expected, "{stats:?}");
        assert!(
            stats.peak_bytes <= expected + stats.peak_slack_bytes,
            "{stats:?}"
        );
        assert_eq!(stats.peak_slack_bytes, 32 << 10, "one thread");
    };
    let large = Block::of(&pool, 5 * MIB);
    drop(Block::of(&pool, 3 * MIB));
    bounds(8 * MIB);
    let small: Vec<_> = (0..10_000).map(|_| Block::of(&pool, 1000)).collect();
    bounds(5 * MIB + 10_000_000);
    drop(small);
    drop(large);
    bounds(5 * MIB + 10_000_000);
    pool.reset_peak();
    bounds(0);
    drop(Block::of(&pool, 100));
    bounds(100);
}

#[test]
fn pressure_is_true_while_live_and_retained_bytes_exceed_the_soft_limit() {
    let (pool, _) = pool(64 << 20);
    let block = Block::of(&pool, 4 * MIB);
    assert!(!pool.pressure(), "no limit was set");
    pool.set_soft_limit(6 << 20);
    assert!(!pool.pressure());
    let more = Block::of(&pool, 3 * MIB);
    assert!(pool.pressure());
    drop(more);
    assert!(pool.pressure(), "the block is retained");
    pool.trim(0);
    assert!(!pool.pressure());
    drop(block);
}

#[test]
fn counts_include_waiting_and_ended_threads() {
    let (pool, inner) = pool(64 << 20);
    let ready = Barrier::new(3);
    let done = Barrier::new(3);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let blocks: Vec<_> = (1..=100).map(|size| Block::of(&pool, size)).collect();
                ready.wait();
                done.wait();
                drop(blocks);
            });
        }
        ready.wait();
        let stats = pool.stats();
        assert_eq!(stats.live_bytes, 2 * 5050, "from waiting threads");
        assert_eq!(stats.live_blocks, 200);
        assert_consistent(stats, inner);
        done.wait();
    });
    let stats = pool.stats();
    assert_eq!((stats.live_bytes, stats.live_blocks), (0, 0));
    assert_eq!(stats.total.count, 200, "from ended threads");
}

/// A linear congruential generator with a fixed seed (Knuth's MMIX constants).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

#[test]
fn blocks_sent_between_threads_keep_their_contents_and_are_counted() {
    const THREADS: usize = 4;
    const STEPS: usize = 1500;
    let (pool, inner) = pool(4 << 20);
    let requested = AtomicU64::new(0);
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| mpsc::channel::<(Block, u8)>()).unzip();
    thread::scope(|scope| {
        for (index, receiver) in receivers.into_iter().enumerate() {
            let (pool, requested) = (&pool, &requested);
            let next = senders[(index + 1) % THREADS].clone();
            scope.spawn(move || {
                let mut numbers = Numbers(index as u64);
                for step in 0..STEPS {
                    let size = match numbers.below(4) {
                        0 => 1 + numbers.below(2000),
                        1 => 64 * KIB + numbers.below(1000),
                        _ => 64 * KIB + numbers.below(200 * KIB),
                    };
                    requested.fetch_add(size as u64, Ordering::Relaxed);
                    let byte = (index * 50 + step % 50) as u8;
                    let mut block = Block::of(pool, size);
                    block.fill(byte);
                    if numbers.below(3) > 0 {
                        // The next thread may have ended already.
                        let _ = next.send((block, byte));
                    } else {
                        assert!(block.contains_only(byte, size));
                    }
                    if step % 64 == 0 {
                        match numbers.below(3) {
                            0 => drop(pool.decay()),
                            1 => drop(pool.trim(1 << 20)),
                            _ => pool.set_capacity((numbers.below(8) as u64) << 20),
                        }
                    }
                    if let Ok((block, byte)) = receiver.try_recv() {
                        assert!(block.contains_only(byte, block.layout.size()));
                    }
                }
            });
        }
        drop(senders);
    });
    let stats = pool.stats();
    assert_eq!((stats.live_bytes, stats.live_blocks), (0, 0));
    assert_eq!(stats.total.count, (THREADS * STEPS) as u64);
    assert_eq!(stats.total.bytes, requested.into_inner());
    assert!(stats.from_pool.count > 0);
    assert_consistent(stats, inner);
}
