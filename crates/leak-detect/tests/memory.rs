//! Heap use of the detector, and the counters of one thread.

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use leak_detect::{
    CountingAllocator, GrowthProbe, ReferenceCycleDetector, Trace, Unlink, Verdict,
    assert_thread_peak, thread_heap_source,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

#[derive(Trace, Default)]
#[trace(unlink)]
struct Node {
    next: Mutex<Option<Arc<Node>>>,
    payload: Vec<u64>,
}

impl Unlink for Node {
    fn unlink(&self) {
        let next = self.next.lock().unwrap().take();
        drop(next);
    }
}

/// Signed, since the test's thread also frees memory that the harness allocated on another thread.
fn live() -> i64 {
    let heap = thread_heap_source().expect("the counting allocator is installed");
    (heap.live_bytes)() as i64
}

fn leak_a_ring(detector: &ReferenceCycleDetector, count: usize) {
    let new = || {
        Arc::new(Node {
            next: Mutex::default(),
            payload: vec![0; 100],
        })
    };
    let nodes: Vec<Arc<Node>> = (0..count).map(|_| new()).collect();
    for (i, node) in nodes.iter().enumerate() {
        *node.next.lock().unwrap() = Some(Arc::clone(&nodes[(i + 1) % count]));
        detector.track_object(node);
    }
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    *panic.downcast::<String>().expect("a formatted message")
}

#[test]
fn tracking_a_million_dropped_objects_uses_constant_memory() {
    let detector = ReferenceCycleDetector::new();
    // At most sixteen dead allocations and the registry's entries.
    assert_thread_peak!(4096, || {
        for _ in 0..1_000_000 {
            detector.track_object(&Arc::new(Mutex::new(0u64)));
        }
    });
}

#[test]
fn large_registry_shrinks_after_its_objects_are_dropped() {
    let detector = ReferenceCycleDetector::new();
    let before = live();
    let objects: Vec<Arc<u64>> = (0..100_000).map(Arc::new).collect();
    objects
        .iter()
        .for_each(|object| detector.track_object(object));
    drop(objects);
    assert_eq!(detector.detect_cycles(), 0);
    assert!(live() - before < 4096, "{} bytes", live() - before);
}

#[test]
fn broken_cycles_release_all_their_memory() {
    let detector = ReferenceCycleDetector::new();
    detector.detect_cycles();
    let before = live();
    for count in 1..20 {
        leak_a_ring(&detector, count);
    }
    assert!(live() - before > 190 * 800);
    assert_eq!(detector.detect_cycles(), 190);
    assert_eq!(detector.break_cycles().objects_unlinked, 190);
    detector.clear_registry();
    assert_eq!(live(), before);
}

#[test]
fn few_bytes_per_iteration_are_growth() {
    let mut leaked = Vec::with_capacity(200);
    let verdicts = GrowthProbe::new()
        .source(
            "live heap",
            thread_heap_source().expect("installed").live_bytes,
        )
        .run(10, 100, |i| leaked.push(Box::new(i)));
    assert_eq!(verdicts[0].verdict, Verdict::Growing);
    let slope = verdicts[0].slope.expect("enough readings");
    assert_eq!((slope.bytes_per_iteration, slope.half_width()), (4.0, 0.0));
}

#[test]
fn sampling_does_not_allocate() {
    let heap = thread_heap_source().expect("installed");
    let mut probe = GrowthProbe::new().source("live heap", heap.live_bytes);
    let before = live();
    for _ in 0..10_000 {
        probe.sample();
        assert_eq!(live(), before);
    }
    assert_eq!(probe.verdicts()[0].verdict, Verdict::Clean);
}

#[test]
fn peak_includes_memory_freed_before_the_end() {
    assert_eq!(assert_thread_peak!(1000, || vec![1u8; 1000].len()), 1000);
    let panic = catch_unwind(|| assert_thread_peak!(999, || drop(vec![1u8; 1000])));
    assert_eq!(
        message(panic.expect_err("over the limit")),
        "peak heap use was 1000 bytes, 1 above the limit of 999"
    );
}

#[test]
fn nested_peaks_are_independent() {
    assert_thread_peak!(6000, || {
        drop(vec![1u8; 5000]);
        assert_thread_peak!(100, || drop(vec![1u8; 100]));
    });
    let panic = catch_unwind(|| {
        assert_thread_peak!(4999, || {
            drop(vec![1u8; 5000]);
            assert_thread_peak!(100, || drop(vec![1u8; 100]));
        });
    });
    assert!(panic.is_err(), "the inner measurement hides the outer peak");
}

#[test]
fn other_threads_are_not_counted() {
    std::thread::scope(|scope| {
        let noise = scope.spawn(|| (0..10_000).map(|_| vec![0u8; 10_000].len()).sum::<usize>());
        assert_thread_peak!(0, || std::hint::black_box(1));
        assert_eq!(noise.join().expect("no panic"), 100_000_000);
    });
}
