//! Compares `tensor_pool::PoolAllocator` with other allocators.
//!
//! All allocators are statics in one process and are called through `GlobalAlloc`; none of them is the
//! global allocator. The counting allocators do different work per request: `stats_alloc` counts requests
//! and bytes, `cap` enforces a limit, and `peak_alloc` tracks the current and the peak bytes.
//! `PoolAllocator` counts requests, bytes, padding and hits, and tracks the peak.
//!
//! Times are wall-clock times per round of one thread. On a machine with fewer cores than threads, a round
//! includes the time spent waiting for a core.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use tensor_pool::PoolAllocator;

static COUNTING: PoolAllocator = PoolAllocator::with_capacity(0);
static POOLED: PoolAllocator = PoolAllocator::with_capacity(512 << 20);
static CAP: cap::Cap<System> = cap::Cap::new(System, usize::MAX);
static PEAK_ALLOC: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// Distance of the bytes that are written into a block. Touches every page; a page of more than 4 KiB is
/// touched several times.
const TOUCH_STRIDE_BYTES: usize = 4096;

/// Runs `round` `rounds` times on each thread and returns the time until all threads have finished.
fn on_threads(threads: usize, rounds: u64, round: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(threads + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    // Warm-up: the first request of a thread initializes its thread-local state.
                    round();
                    start.wait();
                    for _ in 0..rounds {
                        round();
                    }
                })
            })
            .collect();
        start.wait();
        let begin = Instant::now();
        for worker in workers {
            worker.join().expect("no worker panics");
        }
        begin.elapsed()
    })
}

fn allocate<A: GlobalAlloc>(allocator: &A, layout: Layout) -> *mut u8 {
    // SAFETY: every benchmark allocates more than 0 bytes.
    let block = unsafe { allocator.alloc(layout) };
    assert!(!block.is_null());
    black_box(block)
}

fn free<A: GlobalAlloc>(allocator: &A, block: *mut u8, layout: Layout) {
    // SAFETY: the block came from this allocator with this layout and is freed once.
    unsafe { allocator.dealloc(block, layout) }
}

fn touch(block: *mut u8, layout: Layout) {
    for offset in (0..layout.size()).step_by(TOUCH_STRIDE_BYTES) {
        // SAFETY: the offset is within the block. A volatile write is not optimised away.
        unsafe { block.add(offset).write_volatile(1) };
    }
}

/// Measures allocating and freeing 64 B.
fn counting(criterion: &mut Criterion) {
    fn case<A: GlobalAlloc + Sync>(criterion: &mut Criterion, name: &str, allocator: &A) {
        let layout = Layout::from_size_align(64, 8).expect("the layout is valid");
        for threads in [1, 2] {
            let id = format!("allocator/64 B/{threads} threads/{name}");
            criterion.bench_function(&id, |bencher| {
                bencher.iter_custom(|rounds| {
                    on_threads(threads, rounds, || {
                        free(allocator, allocate(allocator, layout), layout);
                    })
                });
            });
        }
    }
    case(criterion, "System", &System);
    case(criterion, "PoolAllocator, capacity 0", &COUNTING);
    case(criterion, "PoolAllocator", &POOLED);
    case(criterion, "stats_alloc", &stats_alloc::INSTRUMENTED_SYSTEM);
    case(criterion, "cap", &CAP);
    case(criterion, "peak_alloc", &PEAK_ALLOC);
}

const LARGE: [(&str, usize); 3] = [
    ("64 KiB", 64 << 10),
    ("1 MiB", 1 << 20),
    ("16 MiB", 16 << 20),
];

/// Measures allocating a block, touching every page of it and freeing it.
fn large(criterion: &mut Criterion) {
    fn case<A: GlobalAlloc + Sync>(criterion: &mut Criterion, name: &str, allocator: &A) {
        for (size_name, size) in LARGE {
            let layout = Layout::from_size_align(size, 16).expect("the layout is valid");
            for threads in [1, 2, 8] {
                let group = format!("allocator/{size_name}/{threads} threads");
                let mut group = criterion.benchmark_group(group);
                group.throughput(Throughput::Bytes((size * threads) as u64));
                group.bench_function(name, |bencher| {
                    bencher.iter_custom(|rounds| {
                        on_threads(threads, rounds, || {
                            let block = allocate(allocator, layout);
                            touch(block, layout);
                            free(allocator, block, layout);
                        })
                    });
                });
                group.finish();
            }
        }
    }
    case(criterion, "System", &System);
    case(criterion, "PoolAllocator, capacity 0", &COUNTING);
    case(criterion, "PoolAllocator", &POOLED);
    case(criterion, "mimalloc", &MiMalloc);
}

/// Measures blocks that are allocated and touched on one thread and freed on another.
fn crossing(criterion: &mut Criterion) {
    struct Sent(*mut u8);
    // SAFETY: only the receiving thread uses the block after it is sent.
    unsafe impl Send for Sent {}

    fn case<A: GlobalAlloc + Sync>(criterion: &mut Criterion, name: &str, allocator: &A) {
        for (size_name, size) in LARGE {
            let layout = Layout::from_size_align(size, 16).expect("the layout is valid");
            let mut group = criterion.benchmark_group(format!("allocator/{size_name}/crossing"));
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|rounds| {
                    // The channel holds up to 4 blocks, as between two stages of a pipeline.
                    let (sender, receiver) = mpsc::sync_channel(4);
                    thread::scope(|scope| {
                        scope.spawn(move || {
                            for Sent(block) in receiver {
                                free(allocator, block, layout);
                            }
                        });
                        let begin = Instant::now();
                        for _ in 0..rounds {
                            let block = allocate(allocator, layout);
                            touch(block, layout);
                            sender.send(Sent(block)).expect("the receiver is alive");
                        }
                        drop(sender);
                        begin.elapsed()
                    })
                });
            });
            group.finish();
        }
    }
    case(criterion, "System", &System);
    case(criterion, "PoolAllocator, capacity 0", &COUNTING);
    case(criterion, "PoolAllocator", &POOLED);
    case(criterion, "mimalloc", &MiMalloc);
}

/// Measures rounds of four blocks of 40 MiB, and growth to 50 MiB in steps of 64 KiB with each byte
/// written once.
fn very_large(criterion: &mut Criterion) {
    fn case<A: GlobalAlloc + Sync>(criterion: &mut Criterion, name: &str, allocator: &A) {
        const STEP: usize = 64 << 10;
        let layout = Layout::from_size_align(40 << 20, 16).expect("the layout is valid");
        criterion.bench_function(&format!("allocator/4 x 40 MiB/{name}"), |bencher| {
            bencher.iter(|| {
                let blocks = [(); 4].map(|()| allocate(allocator, layout));
                blocks.map(|block| touch(block, layout));
                blocks.map(|block| free(allocator, block, layout));
            });
        });
        criterion.bench_function(&format!("allocator/growth to 50 MiB/{name}"), |bencher| {
            bencher.iter(|| {
                let layout = |size| Layout::from_size_align(size, 1).expect("the layout is valid");
                let mut block = allocate(allocator, layout(STEP));
                for size in (STEP..50 << 20).step_by(STEP) {
                    // SAFETY: the block has `size` bytes, of which the last `STEP` are written, and grows
                    // from that size.
                    unsafe {
                        block.add(size - STEP).write_bytes(1, STEP);
                        block = allocator.realloc(block, layout(size), size + STEP);
                    }
                    assert!(!block.is_null());
                }
                free(allocator, block, layout(50 << 20));
            });
        });
    }
    case(criterion, "System", &System);
    case(criterion, "PoolAllocator", &POOLED);
    case(criterion, "mimalloc", &MiMalloc);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = counting, large, very_large, crossing
}
criterion_main!(benches);
