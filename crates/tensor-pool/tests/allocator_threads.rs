//! Counting on many threads. The only test of its process, so that no thread of another test ends and
//! passes its counters to a thread of this test. Also run under valgrind.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Barrier;
use std::thread;

use tensor_pool::PoolAllocator;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// Runs four threads that update the counters concurrently.
fn hammer(pool: &PoolAllocator) {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;
    let before = pool.stats();
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..ROUNDS {
                    // SAFETY: the size is not 0, and the block is resized and freed with its current layout.
                    unsafe {
                        let block = pool.alloc(layout(100));
                        let block = pool.realloc(block, layout(100), 150);
                        pool.dealloc(block, layout(150));
                    }
                }
            });
        }
    });
    let after = pool.stats();
    assert_eq!(
        (after.live_bytes, after.live_blocks),
        (before.live_bytes, before.live_blocks)
    );
    assert_eq!(
        after.total.count - before.total.count,
        (THREADS * ROUNDS) as u64
    );
    assert_eq!(
        after.total.bytes - before.total.bytes,
        (THREADS * ROUNDS * 150) as u64
    );
}

#[test]
fn counts_are_exact_with_more_threads_than_counter_slots() {
    const THREADS: usize = 256;
    let pool = PoolAllocator::new();
    hammer(&pool);
    let (ready, done) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let thread = thread::Builder::new().stack_size(64 << 10);
            let work = || {
                // SAFETY: the size is not 0, and the block is freed with the layout of its allocation.
                unsafe {
                    let block = pool.alloc(layout(7));
                    ready.wait();
                    done.wait();
                    pool.dealloc(block, layout(7));
                }
            };
            thread.spawn_scoped(scope, work).unwrap();
        }
        ready.wait();
        assert_eq!(pool.stats().live_blocks, THREADS as u64);
        hammer(&pool);
        done.wait();
    });
    let stats = pool.stats();
    assert_eq!((stats.live_bytes, stats.live_blocks), (0, 0));
    assert!(stats.peak_bytes >= (THREADS * 7) as u64);
}
