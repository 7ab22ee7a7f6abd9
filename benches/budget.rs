//! The cost of reserving and releasing bytes of a budget, compared with a counter under a mutex.
//!
//! The counter is only compared with a limit: it has no names, no tree and no list of holders. Each thread
//! does the same work on the same budget or mutex. Times are per operation of one thread.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tensor_pool::Budget;

const THREADS: [usize; 2] = [1, 2];

/// Number of budgets from the reserving one to the root, both included.
const DEPTHS: [usize; 2] = [1, 3];

fn budget_of_depth(depth: usize) -> Budget {
    let root = Budget::new("root", Some(64 << 20));
    (1..depth).fold(root, |budget, _| budget.child("child", Some(64 << 20)))
}

/// Runs `work(count)` on each thread and returns the time of the slowest thread.
fn on_threads(threads: usize, count: u64, work: impl Fn(u64) + Sync) -> Duration {
    let (work, barrier) = (&work, &std::sync::Barrier::new(threads));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    work(count);
                    start.elapsed()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("the work does not panic"))
            .max()
            .unwrap_or_default()
    })
}

fn budget(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("budget");
    for threads in THREADS {
        let id = |what: &str| BenchmarkId::new(what, format!("{threads} threads"));
        group.bench_function(id("Mutex<u64>"), |bencher| {
            let used = Mutex::new(0_u64);
            let limit = black_box(64 << 20);
            bencher.iter_custom(|count| {
                on_threads(threads, count, |count| {
                    for _ in 0..count {
                        let granted = {
                            let mut used = used.lock().expect("no thread panics");
                            let fits = *used + 1024 <= limit;
                            *used += if fits { 1024 } else { 0 };
                            fits
                        };
                        if black_box(granted) {
                            *used.lock().expect("no thread panics") -= 1024;
                        }
                    }
                })
            });
        });
        for depth in DEPTHS {
            let budget = budget_of_depth(depth);
            group.bench_function(id(&format!("reserve and drop, depth {depth}")), |bencher| {
                bencher.iter_custom(|count| {
                    on_threads(threads, count, |count| {
                        for _ in 0..count {
                            drop(black_box(budget.reserve(1 << 10, "x")));
                        }
                    })
                });
            });
            group.bench_function(id(&format!("grow and shrink, depth {depth}")), |bencher| {
                bencher.iter_custom(|count| {
                    on_threads(threads, count, |count| {
                        let mut reservation = budget.reserve(0, "x").expect("0 bytes always fit");
                        for _ in 0..count {
                            let _ = black_box(reservation.grow(1 << 10));
                            reservation.shrink(1 << 10);
                        }
                    })
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, budget);
criterion_main!(benches);
