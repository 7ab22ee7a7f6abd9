//! What there is once in a process.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use leak_detect::{ReferenceCycleDetector, Trace};
use mem_monitor::{DevicePool, HeapCounter, MemoryMonitor};
use tensor_pool::{Bytes, MemoryPool, PeakWindow, heap};

use super::bytes::to_monitor;
use super::parts;

static POOL: LazyLock<MemoryPool> = LazyLock::new(MemoryPool::default);

static MONITOR: LazyLock<MemoryMonitor> = LazyLock::new(|| {
    let device = |read: fn(&tensor_pool::DeviceMemory) -> Bytes| {
        move || {
            let devices = get_memory_pool().get_stats().devices;
            (!devices.is_empty()).then(|| to_monitor(devices.iter().map(read).sum()))
        }
    };
    let monitor = MemoryMonitor::builder()
        .heap(heap_counter())
        .source(
            DevicePool::new("devices", device(|device| device.bytes_in_use))
                .with_reserved(device(|device| device.bytes_reserved)),
        )
        .build()
        // Nothing that can be refused was set.
        .unwrap_or_default();
    parts::register(&monitor);
    monitor
});

static DETECTOR: ReferenceCycleDetector = ReferenceCycleDetector::new();

/// Whether new objects are tracked.
static TRACKING: AtomicBool = AtomicBool::new(false);

/// The pool that every model's streams lease their state from. Clones are the same pool.
///
/// ```
/// # #[cfg(feature = "builtin-voice")] {
/// use pocket_tts::memory::get_memory_pool;
/// use pocket_tts::{GenerateOptions, TtsModel};
///
/// let model = TtsModel::builtin()?;
/// let voice = model.default_voice()?;
/// model.generate(&voice, "Hello world.", &GenerateOptions::default())?;
/// let stats = get_memory_pool().get_stats();
/// assert!(stats.hits + stats.misses > 0);
/// if let Some(rate) = stats.hit_rate() {
///     println!("hit rate: {:.1} %", rate * 100.0);
/// }
/// # }
/// # Ok::<(), pocket_tts::Error>(())
/// ```
pub fn get_memory_pool() -> MemoryPool {
    POOL.clone()
}

/// The monitor of this process. It looks every 5 s once it is started, knows the heap where the
/// program [installed](tensor_pool::PoolAllocator::install) a [`PoolAllocator`](super::PoolAllocator),
/// and the parts that models are made of.
///
/// ```
/// use pocket_tts::memory::get_memory_monitor;
///
/// let monitor = get_memory_monitor();
/// monitor.start_monitoring().expect("a thread can be started");
/// // … speak …
/// if let Some(peak) = monitor.get_peak_memory_usage() {
///     println!("at most {peak}");
/// }
/// for alert in monitor.get_memory_alerts() {
///     eprintln!("{alert}");
/// }
/// monitor.stop_monitoring();
/// println!("{}", monitor.breakdown());
/// ```
pub fn get_memory_monitor() -> &'static MemoryMonitor {
    &MONITOR
}

/// The detector of reference cycles of this process. While a session
/// [profiles](super::Settings::profiling), it tracks models, cached voices and the session; anything
/// else that is [`Trace`] may be added.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use pocket_tts::memory::{Trace, Tracer, get_cycle_detector};
///
/// struct Node {
///     next: Mutex<Option<Arc<Node>>>,
/// }
///
/// impl Trace for Node {
///     fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
///         tracer.field("next", &self.next);
///     }
/// }
///
/// let node = Arc::new(Node { next: Mutex::new(None) });
/// let detector = get_cycle_detector();
/// detector.track_object(&node);
/// assert_eq!(detector.detect_cycles(), 0);
/// *node.next.lock().unwrap() = Some(Arc::clone(&node));
/// drop(node);
/// assert_eq!(detector.detect_cycles(), 1);
/// ```
pub fn get_cycle_detector() -> &'static ReferenceCycleDetector {
    &DETECTOR
}

/// Starts or ends the tracking of new objects.
pub(super) fn set_tracking(wanted: bool) {
    TRACKING.store(wanted, Ordering::Relaxed);
}

/// Lets the detector watch an object if objects are tracked.
pub(crate) fn track<T: Trace + Send + Sync + 'static>(object: &std::sync::Arc<T>) {
    if TRACKING.load(Ordering::Relaxed) {
        DETECTOR.track_object(object);
    }
}

/// The program's allocator, whenever it is installed.
fn heap_counter() -> HeapCounter {
    HeapCounter::new(|| Some(to_monitor(heap()?.stats().live)))
        .with_peak(|| Some(to_monitor(heap()?.stats().peak)))
        .with_slack(|| {
            let stats = heap()?.stats();
            Some(to_monitor(stats.retained + stats.padding))
        })
        .with_reset(|| {
            if let Some(heap) = heap() {
                heap.reset_peak();
            }
        })
        .with_peak_window(|| {
            let window = PeakWindow::new();
            Box::new(move || window.peak().map(to_monitor))
        })
}
