//! All process-wide state of this crate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use leak_detect::{ReferenceCycleDetector, Trace};
use mem_monitor::{DevicePool, HeapCounter, MemoryMonitor, SpanLayer};
use tensor_pool::{DeviceMemory, MemoryPool, PeakWindow, heap};
use tts_core::memory::Ledger;

use super::categories;
use super::models::{LoadedModel, ModelRegistry};
use super::system_limits::SystemLimits;

/// The memory system of the process.
struct Runtime {
    /// Every model of the process is loaded with it.
    ledger: Ledger,
    models: Arc<ModelRegistry>,
    monitor: MemoryMonitor,
    detector: ReferenceCycleDetector,
    /// Whether a session is open.
    session_open: AtomicBool,
    /// Whether new objects are added to the cycle detector.
    tracking: AtomicBool,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(Runtime::new);

impl Runtime {
    fn new() -> Self {
        let ledger = Ledger::default();
        let models = Arc::new(ModelRegistry::default());
        ledger.add_reclaimer(&models);
        let system = SystemLimits::new("/");
        ledger.set_system_limit(move |threads| system.tightest(threads));
        let device = |read: fn(&DeviceMemory) -> u64| {
            let pool = ledger.pool().clone();
            move || {
                let devices = pool.get_stats().devices;
                (!devices.is_empty()).then(|| devices.iter().map(read).sum::<u64>())
            }
        };
        let counted = {
            let ledger = ledger.clone();
            move || Some(ledger.counted().total())
        };
        let monitor = MemoryMonitor::builder()
            .heap(heap_counter())
            .counted(counted)
            .source(
                DevicePool::new("devices", device(|device| device.in_use_bytes))
                    .with_reserved(device(|device| device.reserved_bytes)),
            )
            .build()
            // `build` fails only for invalid settings, and none is set.
            .unwrap_or_default();
        categories::register(&monitor, &ledger, &models);
        Self {
            ledger,
            models,
            monitor,
            detector: ReferenceCycleDetector::new(),
            session_open: AtomicBool::new(false),
            tracking: AtomicBool::new(false),
        }
    }
}

/// Returns the ledger of this process: the bytes in use, the reservations of running work, and the limit.
/// All models are loaded with it.
///
/// ```
/// use pocket_tts::memory::get_memory_ledger;
///
/// let ledger = get_memory_ledger();
/// println!("{} bytes in use, {} reserved", ledger.counted().total(), ledger.reserved_bytes());
/// ```
pub fn get_memory_ledger() -> &'static Ledger {
    &RUNTIME.ledger
}

/// Returns the pool that all streams lease their state from. Clones refer to the same pool.
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
    RUNTIME.ledger.pool().clone()
}

/// Returns the monitor of this process. It samples every 5 s once it is started. It reports the
/// categories of the engine's memory, and the heap if the program
/// [installed](tensor_pool::PoolAllocator::install) a [`PoolAllocator`](super::PoolAllocator).
///
/// ```
/// use bytesize::ByteSize;
/// use pocket_tts::memory::get_memory_monitor;
///
/// let monitor = get_memory_monitor();
/// monitor.start_monitoring().expect("a thread can start");
/// // … speak …
/// if let Some(peak) = monitor.get_peak_memory_usage() {
///     println!("peak {}", ByteSize::b(peak));
/// }
/// for alert in monitor.get_memory_alerts() {
///     eprintln!("{alert}");
/// }
/// monitor.stop_monitoring();
/// println!("{}", monitor.breakdown());
/// ```
pub fn get_memory_monitor() -> &'static MemoryMonitor {
    &RUNTIME.monitor
}

/// Returns the reference cycle detector of this process. While a session
/// [profiles](super::Settings::profiling), it tracks models, cached voices and the session. A program
/// can add any object that implements [`Trace`]. From a model, it follows voices, observers of downloads
/// and [callbacks](super::TracedFn). Threads of streams, recordings and closures without a `TracedFn`
/// cannot be traced: they count as external owners.
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
    &RUNTIME.detector
}

/// Creates a `tracing` layer that records spans as phases, for programs that install their own subscriber.
/// [`init`](super::init) installs one where a program has none.
///
/// ```
/// use pocket_tts::memory::{get_memory_monitor, span_layer};
/// use tracing_subscriber::{layer::SubscriberExt, registry::Registry};
///
/// let subscriber = Registry::default().with(span_layer());
/// tracing::subscriber::with_default(subscriber, || {
///     tracing::info_span!("my phase").in_scope(|| ());
/// });
/// let spans = get_memory_monitor().span_stats();
/// assert!(spans.iter().any(|span| span.name == "my phase"));
/// ```
pub fn span_layer() -> SpanLayer {
    get_memory_monitor().span_layer()
}

/// Enables or disables the tracking of new objects.
pub(super) fn set_tracking(enabled: bool) {
    RUNTIME.tracking.store(enabled, Ordering::Relaxed);
}

/// Adds an object to the cycle detector if tracking is enabled.
pub(crate) fn track<T: Trace + Send + Sync + 'static>(object: &Arc<T>) {
    if RUNTIME.tracking.load(Ordering::Relaxed) {
        RUNTIME.detector.track_object(object);
    }
}

/// Registers a loaded model until it is dropped.
pub(crate) fn register_model(model: Weak<dyn LoadedModel>) {
    RUNTIME.models.add(model);
}

/// Returns the registry of loaded models.
pub(super) fn models() -> &'static ModelRegistry {
    &RUNTIME.models
}

/// Proof that this session is the only open one. Dropping the token allows the next session to open.
#[derive(Debug)]
pub(super) struct SessionToken(());

impl SessionToken {
    /// Returns `None` if a session is open.
    pub(super) fn acquire() -> Option<Self> {
        (!RUNTIME.session_open.swap(true, Ordering::SeqCst)).then_some(Self(()))
    }
}

impl Drop for SessionToken {
    fn drop(&mut self) {
        RUNTIME.session_open.store(false, Ordering::SeqCst);
    }
}

/// Returns a counter that reads the program's allocator once it is installed.
fn heap_counter() -> HeapCounter {
    HeapCounter::new(|| Some(heap()?.stats().live_bytes))
        .with_peak(|| Some(heap()?.stats().peak_bytes))
        .with_slack(|| {
            let stats = heap()?.stats();
            Some(stats.retained_bytes + stats.padding_bytes)
        })
        .with_reset(|| {
            if let Some(heap) = heap() {
                heap.reset_peak();
            }
        })
        .with_peak_window(|| {
            let window = PeakWindow::new();
            Box::new(move || window.peak_bytes())
        })
}
