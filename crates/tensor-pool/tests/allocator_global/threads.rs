//! Workers, short threads and forks.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use tensor_pool::{AllocatorStats, minor_faults, seal_process};

use crate::{ALLOCATOR, KIB, in_child, touched};

/// One round of a worker's allocations.
fn frame(scratch_bytes: usize) {
    let first = touched(scratch_bytes);
    let second = touched(scratch_bytes / 2);
    drop(first);
    let third = touched(scratch_bytes);
    drop((second, third));
}

#[test]
fn steady_work_requests_no_memory_from_the_kernel() {
    in_child(
        "threads::steady_work_requests_no_memory_from_the_kernel",
        || {
            const WORKERS: usize = 4;
            const FRAMES: usize = 100;
            let warm = Barrier::new(WORKERS + 1);
            let sealed = Barrier::new(WORKERS + 1);
            let done = Barrier::new(WORKERS + 1);
            thread::scope(|scope| {
                for worker in 0..WORKERS {
                    let (warm, sealed, done) = (&warm, &sealed, &done);
                    scope.spawn(move || {
                        // Each worker has its own classes, so that workers do not compete for blocks.
                        let scratch_bytes = (256 * KIB) << (2 * worker);
                        frame(scratch_bytes);
                        warm.wait();
                        sealed.wait();
                        for _ in 0..FRAMES {
                            frame(scratch_bytes);
                        }
                        done.wait();
                    });
                }
                warm.wait();
                let seal = seal_process();
                let faults = minor_faults();
                sealed.wait();
                done.wait();
                let report = seal.report().unwrap();
                assert!(report.is_empty(), "{report}");
                // Without the pool, the smallest worker alone touches 64 new pages per frame.
                if let (Some(before), Some(after)) = (faults, minor_faults()) {
                    assert!(after - before < FRAMES as u64, "{} faults", after - before);
                }
            });
        },
    );
}

/// Runs threads that allocate, grow blocks, send blocks to each other and end.
fn run_short_threads() {
    const THREADS: usize = 8;
    let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(16);
    let receiver = Arc::new(Mutex::new(receiver));
    let threads: Vec<_> = (0..THREADS)
        .map(|index| {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            thread::spawn(move || {
                for step in 0..300 {
                    let size = 1 + (index * 7919 + step * 104_729) % (600 * KIB);
                    let mut block = vec![index as u8; size];
                    block.reserve_exact(size / 3);
                    // If the channel is full, this thread frees the block.
                    let _ = sender.try_send(block);
                    let received = receiver.lock().unwrap().try_recv();
                    if let Ok(block) = received {
                        assert_eq!(block.first(), block.last());
                    }
                }
            })
        })
        .collect();
    // A `thread::scope` ends before the thread-local data of its threads is freed.
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn counts_are_exact_after_many_short_threads() {
    in_child("threads::counts_are_exact_after_many_short_threads", || {
        let in_use =
            |stats: AllocatorStats| (stats.live_bytes, stats.live_blocks, stats.padding_bytes);
        // The first run includes one-time allocations of the standard library.
        run_short_threads();
        let before = ALLOCATOR.stats();
        run_short_threads();
        run_short_threads();
        let after = ALLOCATOR.stats();
        assert_eq!(in_use(after), in_use(before));
        assert!(after.total.count > before.total.count + 2 * 8 * 300);
        assert!(after.from_pool.count > before.from_pool.count);
        ALLOCATOR.set_capacity(0);
        assert_eq!(ALLOCATOR.stats().retained_bytes, 0);
    });
}

#[cfg(unix)]
#[test]
fn child_of_a_fork_during_allocations_can_allocate() {
    in_child(
        "threads::child_of_a_fork_during_allocations_can_allocate",
        || {
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while !stop.load(Ordering::Relaxed) {
                            frame(200 * KIB);
                            drop(black_box(vec![1_u8; 100]));
                        }
                    });
                }
                for _ in 0..20 {
                    // SAFETY: the child only allocates, which glibc and macOS allow, and exits.
                    let child = unsafe { libc::fork() };
                    assert!(child >= 0);
                    if child == 0 {
                        // SAFETY: no preconditions. The alarm ends the child if it hangs.
                        unsafe { libc::alarm(60) };
                        for _ in 0..20 {
                            frame(200 * KIB);
                            drop(black_box(vec![1_u8; 100]));
                        }
                        ALLOCATOR.set_capacity(0);
                        // SAFETY: no preconditions. Exits without running the parent's destructors and exit handlers.
                        unsafe { libc::_exit(0) };
                    }
                    let mut status = 0;
                    // SAFETY: `status` is a valid, writable `int`.
                    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                    assert_eq!(status, 0, "the child hung or crashed");
                }
                stop.store(true, Ordering::Relaxed);
            });
        },
    );
}
