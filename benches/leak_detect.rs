//! Cycle detection compared with `dumpster::sync` on the same graph, and the cost of handles.
//!
//! The graph has 90 000 live objects, each owned by a vector and by its neighbour, and 10 000 objects in
//! leaked rings of ten. The two crates do different work: `leak-detect` finds and names the cycles, and
//! breaking them is a separate figure; `dumpster` frees them in the same pass and visits only objects of
//! which a handle was dropped.

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use leak_detect::{ReferenceCycleDetector, Trace, Unlink};

const LIVE: usize = 90_000;
const LEAKED: usize = 10_000;
const RING: usize = 10;

#[derive(Trace, Default)]
#[trace(unlink)]
struct Node {
    next: Mutex<Option<Arc<Node>>>,
    payload: [u64; 4],
}

impl Unlink for Node {
    fn unlink(&self) {
        let next = self.next.lock().unwrap().take();
        drop(next);
    }
}

#[derive(dumpster::Trace)]
struct GcNode {
    next: Mutex<Option<dumpster::sync::Gc<GcNode>>>,
    payload: [u64; 4],
}

fn arc_graph() -> (ReferenceCycleDetector, Vec<Arc<Node>>) {
    let detector = ReferenceCycleDetector::new();
    let make = |count: usize| -> Vec<Arc<Node>> { (0..count).map(|_| Arc::default()).collect() };
    let live = make(LIVE);
    for (node, next) in live.iter().zip(&live[1..]) {
        *node.next.lock().unwrap() = Some(Arc::clone(next));
    }
    let leaked = make(LEAKED);
    for ring in leaked.chunks(RING) {
        for (i, node) in ring.iter().enumerate() {
            *node.next.lock().unwrap() = Some(Arc::clone(&ring[(i + 1) % RING]));
        }
    }
    for node in live.iter().chain(&leaked) {
        detector.track_object(node);
    }
    (detector, live)
}

/// The live objects, and handles to the members of the rings, which the measured code drops before the
/// collection.
type GcGraph = (
    Vec<dumpster::sync::Gc<GcNode>>,
    Vec<dumpster::sync::Gc<GcNode>>,
);

fn gc_graph() -> GcGraph {
    use dumpster::sync::Gc;
    let new = || {
        Gc::new(GcNode {
            next: Mutex::new(None),
            payload: [0; 4],
        })
    };
    let live: Vec<Gc<GcNode>> = (0..LIVE).map(|_| new()).collect();
    for (node, next) in live.iter().zip(&live[1..]) {
        *node.next.lock().unwrap() = Some(next.clone());
    }
    let leaked: Vec<Gc<GcNode>> = (0..LEAKED).map(|_| new()).collect();
    for ring in leaked.chunks(RING) {
        for (i, node) in ring.iter().enumerate() {
            *node.next.lock().unwrap() = Some(ring[(i + 1) % RING].clone());
        }
    }
    black_box(live[0].payload);
    (live, leaked)
}

/// Unlinks a chain of live objects from its head to avoid a recursive drop.
fn take_apart(live: Vec<Arc<Node>>) {
    black_box(live[0].payload);
    live.iter().for_each(|node| node.unlink());
}

fn detect(criterion: &mut Criterion) {
    // Disables automatic collection.
    dumpster::sync::set_collect_condition(|_| false);
    let mut group = criterion.benchmark_group("100k_objects_10k_in_cycles");
    group.sample_size(10);

    let (detector, live) = arc_graph();
    assert_eq!(detector.detect_cycles(), LEAKED);
    group.bench_function("leak-detect/detect", |bencher| {
        bencher.iter(|| detector.detect_cycles())
    });
    detector.break_cycles();
    group.bench_function("leak-detect/detect, none leaked", |bencher| {
        bencher.iter(|| detector.detect_cycles())
    });
    take_apart(live);

    group.bench_function("leak-detect/detect and break", |bencher| {
        bencher.iter_batched(
            arc_graph,
            |(detector, live)| {
                assert_eq!(detector.break_cycles().objects_unlinked, LEAKED);
                take_apart(live);
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("dumpster/drop handles and collect", |bencher| {
        bencher.iter_batched(
            gc_graph,
            |(live, leaked)| {
                drop(leaked);
                dumpster::sync::collect();
                live
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn handles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clone_and_drop");
    let arc = Arc::new(Node::default());
    group.bench_function("Arc", |bencher| {
        bencher.iter(|| drop(black_box(Arc::clone(&arc))))
    });
    let detector = ReferenceCycleDetector::new();
    detector.track_object(&arc);
    group.bench_function("Arc, tracked", |bencher| {
        bencher.iter(|| drop(black_box(Arc::clone(&arc))))
    });
    let gc = dumpster::sync::Gc::new(0u64);
    group.bench_function("dumpster::sync::Gc", |bencher| {
        bencher.iter(|| drop(black_box(gc.clone())))
    });
    group.finish();

    let mut group = criterion.benchmark_group("new_and_drop");
    group.bench_function("Arc", |bencher| {
        bencher.iter(|| drop(black_box(Arc::new(Node::default()))))
    });
    group.bench_function("Arc, tracked", |bencher| {
        bencher.iter(|| detector.track_object(black_box(&Arc::new(Node::default()))));
    });
    group.bench_function("dumpster::sync::Gc", |bencher| {
        bencher.iter(|| drop(black_box(dumpster::sync::Gc::new([0u64; 6]))));
    });
    group.finish();
}

criterion_group!(benches, detect, handles);
criterion_main!(benches);
