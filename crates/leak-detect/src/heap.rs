//! Heap sources of the assertions.

mod counting;

use std::sync::{PoisonError, RwLock};

pub use counting::CountingAllocator;

/// Two functions that read the heap, provided by an allocator or another counter.
///
/// ```standalone_crate
/// use leak_detect::{HeapSource, set_heap_source};
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// // Stands for the counters of the program's allocator.
/// static LIVE: AtomicU64 = AtomicU64::new(0);
///
/// set_heap_source(HeapSource {
///     live_bytes: || LIVE.load(Relaxed),
///     peak_of: |work| {
///         work();
///         0
///     },
/// });
/// leak_detect::assert_no_growth!(2, 20, |_| {
///     LIVE.fetch_add(64, Relaxed);
///     LIVE.fetch_sub(64, Relaxed);
/// });
/// ```
#[derive(Debug, Clone, Copy)]
pub struct HeapSource {
    /// Returns the bytes allocated and not yet freed. Only differences between readings are used.
    pub live_bytes: fn() -> u64,
    /// Runs the closure once and returns the peak of live bytes during it, relative to its start.
    pub peak_of: fn(&mut dyn FnMut()) -> u64,
}

static REGISTERED: RwLock<Option<HeapSource>> = RwLock::new(None);

/// Sets the heap source for the assertions of the whole process. It replaces a previous one and
/// [`CountingAllocator`].
pub fn set_heap_source(source: HeapSource) {
    *REGISTERED.write().unwrap_or_else(PoisonError::into_inner) = Some(source);
}

/// Returns the source that [`assert_no_growth!`](crate::assert_no_growth) and
/// [`assert_peak!`](crate::assert_peak) read: the one set by [`set_heap_source`], or the counters of the
/// process if [`CountingAllocator`] is its global allocator.
///
/// ```standalone_crate
/// # use leak_detect::{CountingAllocator, GrowthProbe, Verdict, heap_source};
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator::new();
///
/// let heap = heap_source().unwrap();
/// let verdicts = GrowthProbe::new()
///     .source("live heap", heap.live_bytes)
///     .run(2, 50, |_| drop(vec![0u8; 1000]));
/// assert_eq!(verdicts[0].verdict, Verdict::Clean);
/// ```
pub fn heap_source() -> Option<HeapSource> {
    let registered = *REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    registered.or_else(counting::process)
}

/// Returns the counters of the calling thread, which [`assert_thread_peak!`](crate::assert_thread_peak)
/// reads, if [`CountingAllocator`] is the global allocator.
///
/// They count the blocks that the thread allocates less those that it frees, so a block that one thread
/// allocates and another frees looks like growth of the first.
///
/// ```standalone_crate
/// # use leak_detect::{CountingAllocator, thread_heap_source};
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator::new();
///
/// let heap = thread_heap_source().unwrap();
/// let before = (heap.live_bytes)();
/// std::thread::spawn(|| std::mem::forget(vec![0u8; 1 << 20])).join().unwrap();
/// assert!((heap.live_bytes)() < before + (1 << 20));
/// ```
pub fn thread_heap_source() -> Option<HeapSource> {
    counting::thread()
}
