//! The allocator on top of one that checks what it is asked for. Also run under valgrind.

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

/// An allocator on a checking one, which is leaked: a few bytes a test.
fn pool(capacity: u64) -> (Pool, &'static Checked) {
    let inner: &Checked = Box::leak(Box::new(Checked::new()));
    (PoolAllocator::with(inner, capacity), inner)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// A block that is freed with what it was allocated with.
struct Block<'a> {
    pool: &'a Pool,
    pointer: *mut u8,
    layout: Layout,
}

// SAFETY: a block may be used and freed by any thread.
unsafe impl Send for Block<'_> {}

impl<'a> Block<'a> {
    fn new(pool: &'a Pool, layout: Layout) -> Self {
        // SAFETY: no test asks for 0 bytes.
        let pointer = unsafe { pool.alloc(layout) };
        assert!(!pointer.is_null());
        Self {
            pool,
            pointer,
            layout,
        }
    }

    fn zeroed(pool: &'a Pool, layout: Layout) -> Self {
        // SAFETY: no test asks for 0 bytes.
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
        // SAFETY: the block is ours and has that size.
        unsafe { self.pointer.write_bytes(byte, self.layout.size()) };
    }

    /// Call only on a block whose bytes were written.
    fn holds(&self, byte: u8, length: usize) -> bool {
        // SAFETY: the block is ours, at least as long, and written.
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

/// What must hold whenever nobody is in a call.
fn assert_adds_up(stats: AllocatorStats, inner: &Checked) {
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
fn a_freed_large_block_serves_the_next_request_of_its_class() {
    let (pool, inner) = pool(64 << 20);
    let mut first = Block::of(&pool, MIB);
    first.fill(1);
    let pointer = first.pointer;
    drop(first);
    assert_eq!(pool.stats().retained_bytes, 1 << 20);
    let again = Block::of(&pool, MIB - 1);
    assert_eq!(again.pointer, pointer);
    if cfg!(debug_assertions) {
        assert!(again.holds(0xA5, MIB - 1));
    }
    assert_eq!(inner.requests(), 1);
    let stats = pool.stats();
    assert_eq!(stats.from_pool.bytes, (MIB - 1) as u64);
    assert_eq!(stats.padding_bytes, 1);
    assert_adds_up(stats, inner);
}

#[test]
fn small_and_very_large_requests_pass_through() {
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
        let asked = inner.layout_of(block.pointer).size();
        assert!(asked >= size && asked - size <= size / 8);
        assert_eq!(pool.stats().padding_bytes, (asked - size) as u64);
    }
}

#[test]
fn large_blocks_are_aligned_to_16_or_as_requested_but_no_more() {
    let (pool, inner) = pool(64 << 20);
    for (asked, expected) in [(1, 16), (16, 16), (64, 64), (4096, 4096), (MIB, MIB)] {
        let block = Block::new(&pool, Layout::from_size_align(MIB, asked).unwrap());
        assert_eq!(inner.layout_of(block.pointer).align(), expected);
        assert_eq!(block.pointer.addr() % asked, 0);
    }
}

#[test]
fn a_block_serves_only_the_alignment_it_was_made_with() {
    let (pool, inner) = pool(64 << 20);
    let aligned = |align| Layout::from_size_align(MIB, align).unwrap();
    let kept = Block::new(&pool, aligned(64)).pointer;
    assert_ne!(Block::new(&pool, aligned(16)).pointer, kept);
    assert_ne!(Block::new(&pool, aligned(128)).pointer, kept);
    assert_eq!(pool.stats().from_pool.count, 0);
    assert_eq!(Block::new(&pool, aligned(64)).pointer, kept);
    assert_eq!(pool.stats().from_pool.count, 1);
    // More than the low bits of an address can tell: not kept.
    let retained = pool.stats().retained_bytes;
    drop(Block::new(&pool, aligned(MIB)));
    assert_eq!(pool.stats().retained_bytes, retained);
    assert_adds_up(pool.stats(), inner);
}

#[test]
fn zeroed_blocks_are_zero_and_fresh_ones_are_left_to_the_allocator_below() {
    let (pool, inner) = pool(64 << 20);
    let mut fresh = Block::zeroed(&pool, layout(MIB));
    assert_eq!(inner.zeroed_requests(), 1);
    assert!(fresh.holds(0, MIB));
    fresh.fill(7);
    let pointer = fresh.pointer;
    drop(fresh);
    let recycled = Block::zeroed(&pool, layout(MIB));
    assert_eq!(recycled.pointer, pointer);
    assert!(recycled.holds(0, MIB));
    assert_eq!(inner.requests(), 1);
}

#[test]
fn small_zeroed_blocks_are_zero_also_where_the_allocator_below_recycles() {
    let (pool, inner) = pool(64 << 20);
    for size in [1, 24, 1000, 4 * KIB] {
        // The system's allocator hands out again what it was given last.
        Block::of(&pool, size).fill(7);
        assert!(Block::zeroed(&pool, layout(size)).holds(0, size));
    }
    assert_eq!(inner.zeroed_requests(), 0);
    assert!(Block::zeroed(&pool, layout(4 * KIB + 1)).holds(0, 4 * KIB + 1));
    assert_eq!(inner.zeroed_requests(), 1);
    assert_adds_up(pool.stats(), inner);
}

#[test]
fn a_small_block_grows_by_moving_and_is_resized_below_otherwise() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 16);
    block.fill(3);
    // Grown to a page, grown beyond, made smaller.
    for (size, requests, resizes) in [
        (17, 2, 0),
        (4 * KIB, 3, 0),
        (4 * KIB + 1, 3, 1),
        (1000, 3, 2),
    ] {
        block.resize(size);
        assert_eq!((inner.requests(), inner.resizes()), (requests, resizes));
        assert_eq!(inner.layout_of(block.pointer), layout(size));
        assert!(block.holds(3, 16));
        assert_eq!(pool.stats().live_bytes, size as u64);
        assert_adds_up(pool.stats(), inner);
    }
    // One request, and what it grew by.
    assert_eq!(pool.stats().total.count, 1);
    assert_eq!(pool.stats().total.bytes, (4 * KIB + 1) as u64);
}

#[test]
fn a_small_block_that_cannot_grow_stays_as_it_is() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 100);
    block.fill(3);
    let before = pool.stats();
    inner.limit(299);
    // SAFETY: the block is live, and the new size is not 0.
    let refused = unsafe { pool.realloc(block.pointer, block.layout, 200) };
    assert!(refused.is_null());
    assert!(block.holds(3, 100));
    assert_eq!(pool.stats(), before);
    assert_adds_up(pool.stats(), inner);
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
        assert_adds_up(pool.stats(), inner);
    }
    assert_eq!(pool.stats().total.count, 1);
    assert_eq!(inner.requests(), 1);
}

#[test]
fn a_block_that_leaves_its_class_is_kept_for_the_next_request() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, MIB);
    block.fill(3);
    block.resize(2 * MIB);
    assert!(block.holds(3, MIB));
    assert_eq!(pool.stats().retained_bytes, 1 << 20);
    block.resize(MIB);
    assert!(block.holds(3, MIB));
    assert_eq!(inner.requests(), 2);
    assert_adds_up(pool.stats(), inner);
}

#[test]
fn growing_a_very_large_block_is_left_to_the_allocator_below() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 20 * MIB);
    for (size, calls) in [(40 * MIB, 1), (50 * MIB, 2), (24 * MIB, 3)] {
        block.resize(size);
        assert_eq!(inner.resizes(), calls, "to {size}");
        assert_adds_up(pool.stats(), inner);
    }
    drop(block);
    // It came back into a class, so it is kept.
    assert_eq!(pool.stats().retained_bytes, 24 << 20);
}

#[test]
fn without_capacity_it_counts_and_leaves_growing_to_the_allocator_below() {
    let (pool, inner) = pool(0);
    let mut block = Block::of(&pool, MIB);
    block.resize(3 * MIB);
    assert_eq!(inner.resizes(), 1);
    assert_adds_up(pool.stats(), inner);
    drop(block);
    assert_eq!(inner.outstanding(), 0);
    assert_eq!(pool.stats().total.bytes, 3 << 20);
    assert_eq!(pool.stats().from_pool.bytes, 0);
}

#[test]
fn capacity_caps_what_is_retained_and_lowering_it_gives_back_at_once() {
    let (pool, inner) = pool(8 << 20);
    let blocks: Vec<_> = (0..12).map(|_| Block::of(&pool, MIB)).collect();
    drop(blocks);
    assert_eq!(pool.stats().retained_bytes, 8 << 20);
    assert_eq!(inner.outstanding(), 8 << 20);
    pool.set_capacity(3 << 20);
    assert_eq!(inner.outstanding(), 3 << 20);
    drop(Block::of(&pool, 64 * KIB));
    assert_eq!(inner.outstanding(), 3 << 20, "what fits no more goes");
    pool.set_capacity(0);
    assert_eq!(inner.outstanding(), 0);
    drop(Block::of(&pool, MIB));
    assert_eq!(inner.outstanding(), 0);
    pool.set_capacity(1 << 20);
    drop(Block::of(&pool, MIB));
    assert_eq!(pool.stats().retained_bytes, 1 << 20);
}

#[test]
fn a_full_shelf_gives_back_the_rest() {
    let (pool, inner) = pool(u64::MAX);
    let blocks: Vec<_> = (0..200).map(|_| Block::of(&pool, 64 * KIB)).collect();
    drop(blocks);
    // 128 slots.
    assert_eq!(pool.stats().retained_bytes, 8 << 20);
    assert_adds_up(pool.stats(), inner);
}

#[test]
fn trim_keeps_what_it_is_told_to_and_takes_the_largest_first() {
    let (pool, inner) = pool(64 << 20);
    drop([MIB, 4 * MIB, 64 * KIB, 16 * MIB].map(|size| Block::of(&pool, size)));
    assert_eq!(pool.trim(6 << 20), 16 << 20);
    assert_eq!(pool.stats().retained_bytes, (5 << 20) + (64 << 10));
    assert_eq!(pool.trim(64 << 10), 5 << 20, "the smallest stays");
    assert_eq!(pool.trim(0), 64 << 10);
    assert_eq!(inner.outstanding(), 0);
}

#[test]
fn decay_gives_back_only_what_stayed_unused() {
    let (pool, inner) = pool(64 << 20);
    // A burst needs six blocks, steady work then two.
    drop((0..6).map(|_| Block::of(&pool, MIB)).collect::<Vec<_>>());
    assert_eq!(pool.decay(), 0, "the burst was since the last call");
    drop([MIB, MIB].map(|size| Block::of(&pool, size)));
    assert_eq!(pool.decay(), 4 << 20);
    assert_eq!(pool.stats().retained_bytes, 2 << 20);
    drop([MIB, MIB].map(|size| Block::of(&pool, size)));
    assert_eq!(pool.decay(), 0, "both were needed");
    assert_eq!(pool.decay(), 2 << 20, "now nobody did");
    assert_eq!(inner.outstanding(), 0);
}

#[test]
fn idle_blocks_go_back_before_a_request_fails() {
    let (pool, inner) = pool(64 << 20);
    inner.limit(10 * MIB);
    drop(Block::of(&pool, 8 * MIB));
    let block = Block::of(&pool, 4 * MIB);
    assert_eq!(pool.stats().retained_bytes, 0);
    // SAFETY: not 0 bytes.
    let refused = unsafe { pool.alloc(layout(8 * MIB)) };
    assert!(refused.is_null());
    assert_eq!(pool.stats().live_bytes, 4 << 20, "not granted, not counted");
    drop(block);
    assert_adds_up(pool.stats(), inner);
}

#[test]
fn dropping_an_allocator_gives_back_what_it_retained() {
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
fn the_peak_is_within_its_slack_when_another_thread_has_freed_a_little() {
    // Amounts around those at which a thread's balance is told.
    for freed in (0..=40).map(|blocks| blocks * KIB) {
        let (pool, _) = pool(64 << 20);
        let (now_free, is_seen) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut small: Vec<_> = (0..40).map(|_| Block::of(&pool, KIB)).collect();
                small.truncate(40 - freed / KIB);
                now_free.wait();
                is_seen.wait();
            });
            now_free.wait();
            drop(Block::of(&pool, MIB));
            let stats = pool.stats();
            is_seen.wait();
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
fn counts_read_while_a_thread_counts_were_true_at_some_moment() {
    const ROUNDS: u64 = 100_000;
    // So large that the thread has more to do than to count each time.
    const SIZE: usize = 20 * KIB;
    static POOL: PoolAllocator = PoolAllocator::new();
    thread::scope(|scope| {
        let counting = scope.spawn(|| {
            for _ in 0..ROUNDS {
                // SAFETY: not of size 0, freed as it was allocated.
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
fn a_thread_that_does_nothing_but_resize_is_counted() {
    let (pool, inner) = pool(64 << 20);
    let mut block = Block::of(&pool, 100);
    thread::scope(|scope| {
        scope.spawn(|| block.resize(250));
    });
    let stats = pool.stats();
    assert_eq!((stats.live_bytes, stats.total.bytes), (250, 250));
    drop(block);
    assert_adds_up(pool.stats(), inner);
}

#[test]
fn the_peak_is_an_upper_bound_within_its_stated_slack() {
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
fn pressure_is_up_while_live_and_retained_are_above_the_soft_limit() {
    let (pool, _) = pool(64 << 20);
    let block = Block::of(&pool, 4 * MIB);
    assert!(!pool.pressure(), "no limit was set");
    pool.set_soft_limit(6 << 20);
    assert!(!pool.pressure());
    let more = Block::of(&pool, 3 * MIB);
    assert!(pool.pressure());
    drop(more);
    assert!(pool.pressure(), "it is retained");
    pool.trim(0);
    assert!(!pool.pressure());
    drop(block);
}

#[test]
fn counts_include_threads_that_idle_and_threads_that_ended() {
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
        assert_eq!(stats.live_bytes, 2 * 5050, "from threads that idle");
        assert_eq!(stats.live_blocks, 200);
        assert_adds_up(stats, inner);
        done.wait();
    });
    let stats = pool.stats();
    assert_eq!((stats.live_bytes, stats.live_blocks), (0, 0));
    assert_eq!(stats.total.count, 200, "from threads that ended");
}

/// Numbers from a linear congruential generator (Knuth's MMIX constants): the same each time.
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
fn blocks_that_wander_between_threads_stay_whole_and_counted() {
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
                        // The last thread may be gone already.
                        let _ = next.send((block, byte));
                    } else {
                        assert!(block.holds(byte, size));
                    }
                    if step % 64 == 0 {
                        match numbers.below(3) {
                            0 => drop(pool.decay()),
                            1 => drop(pool.trim(1 << 20)),
                            _ => pool.set_capacity((numbers.below(8) as u64) << 20),
                        }
                    }
                    if let Ok((block, byte)) = receiver.try_recv() {
                        assert!(block.holds(byte, block.layout.size()));
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
    assert_adds_up(stats, inner);
}
