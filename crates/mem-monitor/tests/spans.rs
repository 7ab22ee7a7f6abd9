//! Memory of `tracing` spans: nesting, threads, sources of peaks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use mem_monitor::{
    Backing, Category, Event, HeapCounter, MemoryMonitor, PeakWindow, Quantity, SpanStats,
};
use tracing::{info_span, subscriber::with_default};
use tracing_subscriber::{layer::SubscriberExt, registry::Registry};

/// A heap set by the test.
#[derive(Clone, Default)]
struct Heap {
    live: Arc<AtomicU64>,
    peak: Arc<AtomicU64>,
}

impl Heap {
    fn set(&self, bytes: u64) {
        self.live.store(bytes, Relaxed);
    }

    fn counter(&self) -> HeapCounter {
        let live = Arc::clone(&self.live);
        HeapCounter::new(move || Some(live.load(Relaxed)))
    }
}

fn monitor(heap: HeapCounter) -> MemoryMonitor {
    MemoryMonitor::builder()
        .root("/nowhere")
        .heap(heap)
        .build()
        .unwrap()
}

fn stats(monitor: &MemoryMonitor, name: &str) -> SpanStats {
    let found = monitor.span_stats().into_iter().find(|s| s.name == name);
    found.unwrap_or_else(|| panic!("no span {name}"))
}

fn layered(monitor: &MemoryMonitor, work: impl FnOnce()) {
    with_default(Registry::default().with(monitor.span_layer()), work);
}

#[test]
fn nested_spans_have_entry_exit_and_peak() {
    let heap = Heap::default();
    let monitor = monitor(heap.counter());
    let subscription = monitor.subscribe(16);
    layered(&monitor, || {
        heap.set(100);
        let outer = info_span!("outer").entered();
        heap.set(200);
        let inner = info_span!("inner").entered();
        heap.set(900);
        monitor.sample(); // as the sampling thread does
        heap.set(300);
        drop(inner);
        heap.set(150);
        drop(outer);
    });
    let calls = monitor.span_calls();
    let seen: Vec<_> = calls
        .iter()
        .map(|c| {
            (
                c.name,
                c.level,
                c.entry_bytes.unwrap(),
                c.exit_bytes.unwrap(),
                c.peak_bytes.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [("outer", 0, 100, 150, 900), ("inner", 1, 200, 300, 900)]
    );
    assert!(calls.iter().all(|call| call.quantity == Quantity::Heap));
    let events: Vec<_> = subscription
        .events()
        .try_iter()
        .filter_map(|event| match event {
            Event::Span(call) => Some(call.name),
            _ => None,
        })
        .collect();
    assert_eq!(events, ["inner", "outer"]);
}

#[test]
fn outer_span_includes_the_peak_of_the_inner_span() {
    let heap = Heap::default();
    let monitor = monitor(heap.counter());
    layered(&monitor, || {
        let outer = info_span!("outer").entered();
        heap.set(50);
        let inner = info_span!("inner").entered();
        heap.set(700);
        drop(inner);
        heap.set(10);
        drop(outer);
    });
    assert_eq!(stats(&monitor, "outer").peak_bytes, Some(700));
}

#[test]
fn samples_outside_a_span_are_not_in_its_peak() {
    let heap = Heap::default();
    let monitor = monitor(heap.counter());
    layered(&monitor, || {
        heap.set(5000);
        monitor.sample();
        heap.set(10);
        let span = info_span!("quiet");
        span.in_scope(|| heap.set(20));
        heap.set(6000);
        monitor.sample();
        drop(span);
    });
    let stats = stats(&monitor, "quiet");
    assert_eq!(
        (stats.peak_bytes, stats.last_exit_bytes),
        (Some(20), Some(20))
    );
}

#[test]
fn calls_are_counted_and_added_up() {
    let heap = Heap::default();
    let monitor = monitor(heap.counter());
    layered(&monitor, || {
        for i in 0..10 {
            heap.set(100 * i);
            info_span!("item").in_scope(|| heap.set(100 * i + 7));
        }
    });
    let stats = stats(&monitor, "item");
    assert_eq!(stats.calls, 10);
    assert_eq!(stats.total_net_bytes, Some(70));
    assert_eq!(stats.first_entry_bytes, Some(0));
    assert_eq!(stats.last_exit_bytes, Some(907));
    assert_eq!(stats.greatest_rise_bytes, Some(7));
    let spent: std::time::Duration = monitor.span_calls().iter().map(|c| c.duration()).sum();
    assert_eq!(stats.total_time, spent);
}

#[test]
fn reentered_span_is_one_call() {
    let heap = Heap::default();
    let monitor = monitor(heap.counter());
    layered(&monitor, || {
        let span = info_span!("polled");
        heap.set(1);
        span.in_scope(|| heap.set(2));
        heap.set(30);
        span.in_scope(|| heap.set(4));
    });
    let stats = stats(&monitor, "polled");
    assert_eq!(stats.calls, 1);
    assert_eq!(
        (stats.first_entry_bytes, stats.last_exit_bytes),
        (Some(1), Some(4))
    );
    assert_eq!(stats.peak_bytes, Some(30));
}

#[test]
fn counter_peak_that_rises_in_a_span_is_its_peak() {
    let heap = Heap::default();
    let peak = Arc::clone(&heap.peak);
    let counter = heap.counter().with_peak(move || Some(peak.load(Relaxed)));
    let monitor = monitor(counter);
    layered(&monitor, || {
        heap.set(10);
        heap.peak.store(500, Relaxed);
        info_span!("before").in_scope(|| {});
        info_span!("spike").in_scope(|| heap.peak.store(800, Relaxed));
        info_span!("after").in_scope(|| {});
    });
    assert_eq!(stats(&monitor, "before").peak_bytes, Some(10));
    assert_eq!(stats(&monitor, "spike").peak_bytes, Some(800));
    assert_eq!(stats(&monitor, "after").peak_bytes, Some(10));
}

#[test]
fn peak_windows_make_every_span_exact() {
    let heap = Heap::default();
    let highest = Arc::clone(&heap.peak);
    let live = Arc::clone(&heap.live);
    let counter = heap.counter().with_peak_window(move || -> PeakWindow {
        let highest = Arc::clone(&highest);
        highest.store(live.load(Relaxed), Relaxed);
        Box::new(move || Some(highest.load(Relaxed)))
    });
    let monitor = monitor(counter);
    layered(&monitor, || {
        info_span!("high").in_scope(|| heap.peak.store(900, Relaxed));
        info_span!("low").in_scope(|| heap.peak.store(300, Relaxed));
    });
    assert_eq!(stats(&monitor, "high").peak_bytes, Some(900));
    assert_eq!(stats(&monitor, "low").peak_bytes, Some(300));
}

#[test]
fn spans_on_other_threads_measure_the_same_process() {
    let heap = Heap::default();
    let monitor = monitor(heap.counter());
    let subscriber = Arc::new(Registry::default().with(monitor.span_layer()));
    tracing::subscriber::with_default(Arc::clone(&subscriber), || {
        let parent = info_span!("parent").entered();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    tracing::subscriber::with_default(Arc::clone(&subscriber), || {
                        let worker = info_span!(parent: parent.id(), "worker").entered();
                        heap.live.fetch_add(1000, Relaxed);
                        drop(worker);
                    });
                });
            }
        });
        drop(parent);
    });
    let workers = stats(&monitor, "worker");
    assert_eq!(workers.calls, 4);
    assert_eq!(workers.peak_bytes, Some(4000));
    assert_eq!(stats(&monitor, "parent").peak_bytes, Some(4000));
    let levels: Vec<_> = monitor
        .span_calls()
        .iter()
        .map(|c| (c.name, c.level))
        .collect();
    assert!(levels.contains(&("parent", 0)));
    assert_eq!(levels.iter().filter(|l| **l == ("worker", 1)).count(), 4);
}

/// Counts log messages of level ERROR.
#[derive(Clone, Default)]
struct Errors(Arc<AtomicU64>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Errors {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::ERROR {
            self.0.fetch_add(1, Relaxed);
        }
    }
}

#[test]
fn panicking_category_is_logged_once() {
    let monitor = monitor(Heap::default().counter());
    let category = Category::new("cache", Backing::Heap, || {
        panic!("the test expects this panic")
    });
    monitor.register_category(category).detach();
    let errors = Errors::default();
    with_default(Registry::default().with(errors.clone()), || {
        for _ in 0..3 {
            monitor.breakdown();
        }
    });
    assert_eq!(errors.0.load(Relaxed), 1);
}

#[test]
fn two_monitors_measure_the_same_spans() {
    let (one, two) = (Heap::default(), Heap::default());
    let (first, second) = (monitor(one.counter()), monitor(two.counter()));
    let subscriber = Registry::default()
        .with(first.span_layer())
        .with(second.span_layer());
    with_default(subscriber, || {
        info_span!("work").in_scope(|| {
            one.set(11);
            two.set(22);
        });
    });
    assert_eq!(stats(&first, "work").peak_bytes, Some(11));
    assert_eq!(stats(&second, "work").peak_bytes, Some(22));
}

#[test]
fn span_that_is_never_entered_is_not_counted() {
    let monitor = monitor(Heap::default().counter());
    layered(&monitor, || drop(info_span!("idle")));
    assert!(monitor.span_stats().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn spans_measure_the_resident_set_without_a_heap_counter() {
    let monitor = MemoryMonitor::default();
    let kept = std::cell::RefCell::new(Vec::new());
    layered(&monitor, || {
        info_span!("fill").in_scope(|| kept.borrow_mut().push(vec![1u8; 64 << 20]));
    });
    let stats = stats(&monitor, "fill");
    assert_eq!(stats.quantity, Quantity::Rss);
    // Slightly less than 64 MiB, since threads of other tests may release memory.
    assert!(stats.greatest_rise_bytes > Some(60 << 20), "{stats:?}");
}
