//! Counters and peaks, on one and several threads.

use std::alloc::GlobalAlloc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;

use tensor_pool::PoolAllocator;

use crate::block::{Block, KIB, MIB, assert_consistent, layout, pool};

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
