//! Counting on very many threads. Alone in its process, where no thread of another test ends and
//! leaves its counters to one of these. Also run under valgrind.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Barrier;
use std::thread;

use tensor_pool::PoolAllocator;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// Four threads that count as fast as they can.
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
                    // SAFETY: not of size 0; resized and freed with the size it has.
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
fn counts_are_exact_also_with_more_threads_than_have_counters_of_their_own() {
    const THREADS: usize = 256;
    let pool = PoolAllocator::new();
    hammer(&pool);
    let (all_here, done) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let thread = thread::Builder::new().stack_size(64 << 10);
            let work = || {
                // SAFETY: not of size 0, freed as it was allocated.
                unsafe {
                    let block = pool.alloc(layout(7));
                    all_here.wait();
                    done.wait();
                    pool.dealloc(block, layout(7));
                }
            };
            thread.spawn_scoped(scope, work).unwrap();
        }
        all_here.wait();
        assert_eq!(pool.stats().live_blocks, THREADS as u64);
        hammer(&pool);
        done.wait();
    });
    let stats = pool.stats();
    assert_eq!((stats.live_bytes, stats.live_blocks), (0, 0));
    assert!(stats.peak_bytes >= (THREADS * 7) as u64);
}
