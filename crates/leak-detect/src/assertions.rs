//! Assertions for tests.

use crate::growth::{GrowthProbe, Verdict};
use crate::heap::{HeapSource, heap_source};

/// Runs a closure repeatedly and panics if the live heap grows, or if the result is inconclusive.
///
/// `assert_no_growth!(warmup, iterations, |i| …)` runs the closure `warmup` times to fill caches, then
/// `iterations` times with a reading after each. [`GrowthProbe`](crate::GrowthProbe) documents the
/// method; use it directly for several sources or for a smallest leak other than 1 KiB per iteration.
///
/// The bytes come from [`heap_source`](crate::heap_source). With
/// [`CountingAllocator`](crate::CountingAllocator) they are those of the calling thread, so tests may
/// run in parallel. A process-wide source requires a test in its own process.
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
/// If the heap grows, if the readings are inconclusive, or if there is no source. At least ten
/// iterations are required.
#[macro_export]
macro_rules! assert_no_growth {
    ($warmup:expr, $iterations:expr, $work:expr $(,)?) => {
        $crate::check_no_growth($warmup, $iterations, $work)
    };
}

/// Runs a closure and returns its result; panics if its peak of live heap bytes, relative to its start,
/// exceeds `bytes`.
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
/// If the peak is higher, or if there is no source.
#[macro_export]
macro_rules! assert_peak {
    ($bytes:expr, $work:expr $(,)?) => {
        $crate::check_peak($bytes, $work)
    };
}

/// Implements [`assert_no_growth!`](crate::assert_no_growth).
///
/// # Panics
///
/// The same as the macro.
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

/// Implements [`assert_peak!`](crate::assert_peak).
///
/// # Panics
///
/// The same as the macro.
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
        "peak heap use was {peak} bytes, {} above the limit of {bytes}",
        peak - bytes
    );
    match result {
        Some(result) => result,
        None => panic!("`peak_of` of the heap source did not run its closure"),
    }
}

#[track_caller]
fn source(assertion: &str) -> HeapSource {
    match heap_source() {
        Some(source) => source,
        None => panic!(
            "{assertion} has no heap source: make `leak_detect::CountingAllocator` the \
             `#[global_allocator]` of this test, or pass the counters of another allocator to \
             `leak_detect::set_heap_source`"
        ),
    }
}
