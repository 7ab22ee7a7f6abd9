//! Cycle detection beside `dumpster::sync` on the same graph, and what each asks of every handle.
//!
//! The graph: 90 000 living objects, each owned by one vector and by its neighbour, and 10 000 in
//! leaked rings of ten. The two do not do the same with it. `leak-detect` finds and names the
//! cycles; breaking them is a second figure. `dumpster` frees what it finds in the same pass, and
//! looks only at objects of which a handle was dropped.

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use leak_detect::{ReferenceCycleDetector, Trace, Unlink};

const LIVING: usize = 90_000;
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
    let living = make(LIVING);
    for (node, next) in living.iter().zip(&living[1..]) {
        *node.next.lock().unwrap() = Some(Arc::clone(next));
    }
    let leaked = make(LEAKED);
    for ring in leaked.chunks(RING) {
        for (i, node) in ring.iter().enumerate() {
            *node.next.lock().unwrap() = Some(Arc::clone(&ring[(i + 1) % RING]));
        }
    }
    for node in living.iter().chain(&leaked) {
        detector.track_object(node);
    }
    (detector, living)
}

/// The living objects and handles to the rings' members, which the measured code drops before it
/// collects.
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
    let living: Vec<Gc<GcNode>> = (0..LIVING).map(|_| new()).collect();
    for (node, next) in living.iter().zip(&living[1..]) {
        *node.next.lock().unwrap() = Some(next.clone());
    }
    let leaked: Vec<Gc<GcNode>> = (0..LEAKED).map(|_| new()).collect();
    for ring in leaked.chunks(RING) {
        for (i, node) in ring.iter().enumerate() {
            *node.next.lock().unwrap() = Some(ring[(i + 1) % RING].clone());
        }
    }
    black_box(living[0].payload);
    (living, leaked)
}

/// Takes a chain of living objects apart from its head, which would otherwise be dropped by
/// recursion.
fn take_apart(living: Vec<Arc<Node>>) {
    black_box(living[0].payload);
    living.iter().for_each(|node| node.unlink());
}

fn detect(criterion: &mut Criterion) {
    // Only what is measured below collects.
    dumpster::sync::set_collect_condition(|_| false);
    let mut group = criterion.benchmark_group("100k_objects_10k_in_cycles");
    group.sample_size(10);

    let (detector, living) = arc_graph();
    assert_eq!(detector.detect_cycles(), LEAKED);
    group.bench_function("leak-detect/detect", |bencher| {
        bencher.iter(|| detector.detect_cycles())
    });
    detector.break_cycles();
    group.bench_function("leak-detect/detect, none leaked", |bencher| {
        bencher.iter(|| detector.detect_cycles())
    });
    take_apart(living);

    group.bench_function("leak-detect/detect and break", |bencher| {
        bencher.iter_batched(
            arc_graph,
            |(detector, living)| {
                assert_eq!(detector.break_cycles().objects_unlinked, LEAKED);
                take_apart(living);
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("dumpster/drop handles and collect", |bencher| {
        bencher.iter_batched(
            gc_graph,
            |(living, leaked)| {
                drop(leaked);
                dumpster::sync::collect();
                living
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
