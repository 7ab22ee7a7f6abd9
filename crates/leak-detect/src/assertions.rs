//! The assertions for tests.

use crate::growth::{GrowthProbe, Verdict};
use crate::heap::{HeapSource, heap_source};

/// Does some work repeatedly and panics if the live heap grows with it, or if that cannot be told.
///
/// `assert_no_growth!(warmup, iterations, |i| …)`: the work is done `warmup` times first (caches
/// fill), then `iterations` times with a reading after each. See
/// [`GrowthProbe`](crate::GrowthProbe) for how it is judged; use that for several sources or
/// another smallest leak than 1 KiB per iteration.
///
/// The bytes come from [`heap_source`](crate::heap_source): the calling thread's with
/// [`CountingAllocator`](crate::CountingAllocator), so tests may run in parallel. A source that
/// counts the whole process needs a test in a process of its own.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOCATOR: leak_detect::CountingAllocator = leak_detect::CountingAllocator::new();
///
/// leak_detect::assert_no_growth!(10, 100, |i| {
///     let words = vec!["word"; i as usize % 7];
///     drop(words.join(" "));
/// });
/// ```
///
/// # Panics
///
/// If the heap grows, if the readings are inconclusive, and if there is no source. Ten iterations
/// are needed at least.
#[macro_export]
macro_rules! assert_no_growth {
    ($warmup:expr, $iterations:expr, $work:expr $(,)?) => {
        $crate::check_no_growth($warmup, $iterations, $work)
    };
}

/// Runs a closure, panics if it had more than `bytes` live on the heap at some moment, above what
/// was live when it began, and returns its result.
///
/// The bytes come from [`heap_source`](crate::heap_source), as for
/// [`assert_no_growth!`](crate::assert_no_growth).
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOCATOR: leak_detect::CountingAllocator = leak_detect::CountingAllocator::new();
///
/// let sum: u64 = leak_detect::assert_peak!(64 * 1024, || {
///     (0..1000).collect::<Vec<u64>>().iter().sum()
/// });
/// assert_eq!(sum, 499_500);
/// ```
///
/// # Panics
///
/// If the peak is higher, and if there is no source.
#[macro_export]
macro_rules! assert_peak {
    ($bytes:expr, $work:expr $(,)?) => {
        $crate::check_peak($bytes, $work)
    };
}

/// What [`assert_no_growth!`](crate::assert_no_growth) calls.
///
/// # Panics
///
/// As it says there.
#[doc(hidden)]
#[track_caller]
pub fn check_no_growth(warmup: u32, iterations: u32, work: impl FnMut(u32)) {
    let source = source("assert_no_growth!");
    let verdicts = GrowthProbe::new()
        .source("live heap", source.live_bytes)
        .run(warmup, iterations, work);
    for growth in verdicts {
        assert!(growth.verdict == Verdict::Clean, "{growth}");
    }
}

/// What [`assert_peak!`](crate::assert_peak) calls.
///
/// # Panics
///
/// As it says there.
#[doc(hidden)]
#[track_caller]
pub fn check_peak<R>(bytes: u64, work: impl FnOnce() -> R) -> R {
    let source = source("assert_peak!");
    let mut work = Some(work);
    let mut result = None;
    let peak = (source.peak_of)(&mut || {
        if let Some(work) = work.take() {
            result = Some(work());
        }
    });
    assert!(
        peak <= bytes,
        "the heap's peak was {peak} bytes above its start, {} more than the {bytes} allowed",
        peak - bytes
    );
    match result {
        Some(result) => result,
        None => panic!("the heap source's `peak_of` did not run the closure it was given"),
    }
}

#[track_caller]
fn source(assertion: &str) -> HeapSource {
    match heap_source() {
        Some(source) => source,
        None => panic!(
            "{assertion} has no heap to read: make `leak_detect::CountingAllocator` the \
             `#[global_allocator]` of this test, or pass the counters of another allocator to \
             `leak_detect::set_heap_source`"
        ),
    }
}
