//! Assertions for tests.

use std::thread;
use std::time::Duration;

use crate::growth::{Verdict, growth_in_every_attempt};
use crate::heap::{HeapSource, heap_source, thread_heap_source};
use crate::report::{CycleReport, ObjectStatus};

/// Detections of [`assert_no_cycles!`](crate::assert_no_cycles) while objects are unsettled.
const MAX_DETECTIONS: u32 = 100;

/// Pause between these detections, in which other threads can finish what they move.
const PAUSE: Duration = Duration::from_millis(2);

/// Runs a closure repeatedly and panics if the live heap grows, or if the result is inconclusive.
///
/// `assert_no_growth!(warmup, iterations, |i| …)` runs the closure `warmup` times to fill caches, then
/// `iterations` times with a reading after each. [`GrowthProbe`](crate::GrowthProbe) documents the
/// method; use it directly for several sources or for a smallest leak other than 1 KiB per iteration.
///
/// # What is counted
///
/// The live heap of the process, from [`heap_source`](crate::heap_source): the blocks that any thread has
/// allocated and that no thread has freed. A leak in a worker thread is therefore included, and a block
/// that one thread allocates and another frees is not a leak. What
/// [`CountingAllocator`](crate::CountingAllocator) does not count, such as memory maps, is not included.
///
/// Other threads may do bounded work meanwhile, such as tests that run in parallel. If the heap
/// grows or varies too much, the measurement is repeated up to five times, with up to 1 s of readings.
/// Each attempt is also judged by its lowest readings, which ignore memory that is in use only at times.
/// The assertion passes as soon as one attempt is clean: a leak of the closure appears in all of them. A
/// failing assertion therefore runs the closure six times `iterations` and takes 2.3 s longer.
///
/// Threads that leak on their own, or that allocate more and more for longer than that, do grow the
/// process and are reported. Keep such tests in another process: a file of their own under `tests/`.
///
/// ```standalone_crate
/// use std::thread;
///
/// #[global_allocator]
/// static ALLOCATOR: leak_detect::CountingAllocator = leak_detect::CountingAllocator::new();
///
/// leak_detect::assert_no_growth!(10, 100, |i| {
///     let words = vec!["word"; i as usize % 7];
///     let length = thread::spawn(move || words.join(" ").len()).join().unwrap();
///     assert!(length < 40);
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
/// The peak is that of the process, from [`heap_source`](crate::heap_source), so it includes the work of
/// all threads: those that the closure uses, but also tests that run in parallel. A single peak has no
/// robust estimate, so run the test in a process of its own, or use
/// [`assert_thread_peak!`](crate::assert_thread_peak) for work on one thread.
///
/// ```standalone_crate
/// use std::thread;
///
/// #[global_allocator]
/// static ALLOCATOR: leak_detect::CountingAllocator = leak_detect::CountingAllocator::new();
///
/// let sum: u64 = leak_detect::assert_peak!(64 * 1024, || {
///     let worker = thread::spawn(|| (0..1000).collect::<Vec<u64>>().iter().sum());
///     worker.join().unwrap()
/// });
/// assert_eq!(sum, 499_500);
/// ```
///
/// # Panics
///
/// If the peak is higher, if there is no source, or if more than 64 peaks are measured at the same time.
#[macro_export]
macro_rules! assert_peak {
    ($bytes:expr, $work:expr $(,)?) => {
        $crate::check_peak($bytes, $work)
    };
}

/// Runs a closure and returns its result; panics if the peak of live heap bytes of the calling thread,
/// relative to its start, exceeds `bytes`.
///
/// The bytes come from [`thread_heap_source`](crate::thread_heap_source). They are exact while other
/// threads allocate, but exclude the threads that the closure uses.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOCATOR: leak_detect::CountingAllocator = leak_detect::CountingAllocator::new();
///
/// let sum: u64 = leak_detect::assert_thread_peak!(8000, || {
///     (0..1000).collect::<Vec<u64>>().iter().sum()
/// });
/// assert_eq!(sum, 499_500);
/// ```
///
/// # Panics
///
/// If the peak is higher, or if [`CountingAllocator`](crate::CountingAllocator) is not the global
/// allocator.
#[macro_export]
macro_rules! assert_thread_peak {
    ($bytes:expr, $work:expr $(,)?) => {
        $crate::check_thread_peak($bytes, $work)
    };
}

/// Runs a detection and panics if there is a leaked cycle; the message has the path of each.
///
/// While other threads move `Arc`s, objects can be [unsettled](crate::ObjectStatus::Unsettled); the
/// detection is then repeated up to a hundred times within 200 ms.
///
/// ```
/// use leak_detect::{ReferenceCycleDetector, assert_no_cycles};
/// use std::sync::Arc;
///
/// let detector = ReferenceCycleDetector::new();
/// detector.track_object(&Arc::new(String::from("not in a cycle")));
/// assert_no_cycles!(detector);
/// ```
///
/// ```should_panic
/// use leak_detect::{ReferenceCycleDetector, Trace, assert_no_cycles};
/// use std::sync::{Arc, OnceLock};
///
/// #[derive(Trace, Default)]
/// struct Session {
///     decoder: OnceLock<Arc<Decoder>>,
/// }
///
/// #[derive(Trace)]
/// struct Decoder {
///     owner: Arc<Session>,
/// }
///
/// let detector = ReferenceCycleDetector::new();
/// let session = Arc::new(Session::default());
/// detector.track_object(&session);
/// let owner = Arc::clone(&session);
/// session.decoder.set(Arc::new(Decoder { owner })).ok();
/// drop(session);
/// // Panics with "2 objects in 1 leaked cycle, …" and
/// // "Session.decoder -> Decoder.owner -> Session".
/// assert_no_cycles!(detector);
/// ```
///
/// # Panics
///
/// If there is a leaked cycle, or if objects are still unsettled.
#[macro_export]
macro_rules! assert_no_cycles {
    ($detector:expr $(,)?) => {
        $crate::check_no_cycles(|| $detector.report())
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
    let source = required("assert_no_growth!", heap_source());
    let growth = growth_in_every_attempt(source.live_bytes, warmup, iterations, work);
    assert!(growth.verdict == Verdict::Clean, "{growth}");
}

/// Implements [`assert_peak!`](crate::assert_peak).
///
/// # Panics
///
/// The same as the macro.
#[doc(hidden)]
#[track_caller]
pub fn check_peak<R>(bytes: u64, work: impl FnOnce() -> R) -> R {
    peak_at_most(bytes, required("assert_peak!", heap_source()), work)
}

/// Implements [`assert_thread_peak!`](crate::assert_thread_peak).
///
/// # Panics
///
/// The same as the macro.
#[doc(hidden)]
#[track_caller]
pub fn check_thread_peak<R>(bytes: u64, work: impl FnOnce() -> R) -> R {
    let source = required("assert_thread_peak!", thread_heap_source());
    peak_at_most(bytes, source, work)
}

/// Implements [`assert_no_cycles!`](crate::assert_no_cycles).
///
/// # Panics
///
/// The same as the macro.
#[doc(hidden)]
#[track_caller]
pub fn check_no_cycles(mut detect: impl FnMut() -> CycleReport) {
    let mut report = detect();
    for _ in 1..MAX_DETECTIONS {
        if !report.cycles().is_empty() || report.count(ObjectStatus::Unsettled) == 0 {
            break;
        }
        thread::sleep(PAUSE);
        report = detect();
    }
    assert!(
        report.cycles().is_empty() && report.count(ObjectStatus::Unsettled) == 0,
        "{report}"
    );
}

#[track_caller]
fn peak_at_most<R>(bytes: u64, source: HeapSource, work: impl FnOnce() -> R) -> R {
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
fn required(assertion: &str, source: Option<HeapSource>) -> HeapSource {
    match source {
        Some(source) => source,
        None => panic!(
            "{assertion} has no heap source: make `leak_detect::CountingAllocator` the \
             `#[global_allocator]` of this test, or pass the counters of another allocator to \
             `leak_detect::set_heap_source`"
        ),
    }
}
