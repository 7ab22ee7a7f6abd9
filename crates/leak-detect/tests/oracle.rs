//! Compares reports on random graphs with a brute-force oracle that has the construction of each graph.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};

use leak_detect::{ObjectStatus, ReferenceCycleDetector, Trace};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

// A box around an `Arc` is used only to test that it is traced.
#[allow(clippy::redundant_allocation)]
#[derive(Trace, Default)]
struct Node {
    mutex: Mutex<Vec<Arc<Node>>>,
    rw: RwLock<Vec<Arc<Node>>>,
    cell: Mutex<RefCell<Option<Box<Arc<Node>>>>>,
    once: OnceLock<Arc<Node>>,
    weak: Mutex<Vec<Weak<Node>>>,
    #[trace(skip)]
    skipped: Mutex<Vec<Arc<Node>>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Mutex,
    Rw,
    Cell,
    Once,
    Weak,
    Skipped,
}

/// Owner, owned object and field.
type Edge = (usize, usize, Kind);

#[derive(Debug, Clone)]
struct Spec {
    /// Owned by the test; tracked; its `mutex` locked by the test, which then also owns it.
    nodes: Vec<(bool, bool, bool)>,
    edges: Vec<Edge>,
}

fn specs() -> impl Strategy<Value = Spec> {
    let kind = prop_oneof![
        4 => Just(Kind::Mutex),
        2 => Just(Kind::Rw),
        2 => Just(Kind::Cell),
        2 => Just(Kind::Once),
        1 => Just(Kind::Weak),
        1 => Just(Kind::Skipped),
    ];
    let node = (
        prop::bool::weighted(0.12),
        prop::bool::weighted(0.7),
        prop::bool::weighted(0.08),
    );
    prop::collection::vec(node, 1..=10).prop_flat_map(move |nodes| {
        let count = nodes.len();
        let edge = (0..count, 0..count, kind.clone());
        (Just(nodes), prop::collection::vec(edge, 0..=24))
            .prop_map(|(nodes, edges)| Spec { nodes, edges })
    })
}

/// Returns the status of each node; `None` for dropped nodes and nodes unreachable from tracked ones.
fn oracle(spec: &Spec, edges: &[Edge]) -> Vec<Option<ObjectStatus>> {
    let count = spec.nodes.len();
    let held = |i: usize| spec.nodes[i].0 || spec.nodes[i].2;
    let strong = |kind: Kind| kind != Kind::Weak;
    let visible = |&(from, _, kind): &Edge| match kind {
        Kind::Weak | Kind::Skipped => false,
        Kind::Mutex => !spec.nodes[from].2,
        _ => true,
    };

    let mut alive = vec![true; count];
    for _ in 0..count {
        for i in 0..count {
            let owned = edges
                .iter()
                .any(|&(from, to, kind)| to == i && alive[from] && strong(kind));
            alive[i] &= held(i) || owned;
        }
    }
    let spread = |mut set: Vec<bool>| {
        for _ in 0..count {
            for edge in edges.iter().filter(|edge| visible(edge)) {
                set[edge.1] |= set[edge.0];
            }
        }
        set
    };
    let traced = spread((0..count).map(|i| alive[i] && spec.nodes[i].1).collect());
    let has_outside_owner = |i: usize| {
        held(i)
            || edges.iter().any(|edge| {
                let inside = traced[edge.0] && visible(edge);
                edge.1 == i && alive[edge.0] && strong(edge.2) && !inside
            })
    };
    let live = spread(
        (0..count)
            .map(|i| traced[i] && has_outside_owner(i))
            .collect(),
    );
    let on_cycle = |i: usize| {
        let mut reached = vec![false; count];
        for edge in edges.iter().filter(|edge| edge.0 == i && visible(edge)) {
            reached[edge.1] = true;
        }
        spread(reached)[i]
    };
    (0..count)
        .map(|i| {
            traced[i].then(|| match (live[i], on_cycle(i)) {
                (true, _) => ObjectStatus::Live,
                (false, true) => ObjectStatus::InLeakedCycle,
                (false, false) => ObjectStatus::OwnedByLeakedCycle,
            })
        })
        .collect()
}

/// Builds the graph and returns its nodes and the actual edges (a cell can be set only once).
fn build(spec: &Spec) -> (Vec<Arc<Node>>, Vec<Edge>) {
    let nodes: Vec<Arc<Node>> = spec.nodes.iter().map(|_| Arc::default()).collect();
    let mut edges = Vec::new();
    for &(from, to, kind) in &spec.edges {
        let (owner, owned) = (&nodes[from], Arc::clone(&nodes[to]));
        let made = match kind {
            Kind::Mutex => {
                owner.mutex.lock().unwrap().push(owned);
                true
            }
            Kind::Rw => {
                owner.rw.write().unwrap().push(owned);
                true
            }
            Kind::Cell => {
                let cell = owner.cell.lock().unwrap();
                let empty = cell.borrow().is_none();
                if empty {
                    *cell.borrow_mut() = Some(Box::new(owned));
                }
                empty
            }
            // No self edges here: they could not be removed, and the test would leak.
            Kind::Once => to > from && owner.once.set(owned).is_ok(),
            Kind::Weak => {
                owner.weak.lock().unwrap().push(Arc::downgrade(&owned));
                true
            }
            Kind::Skipped => {
                owner.skipped.lock().unwrap().push(owned);
                true
            }
        };
        if made {
            edges.push((from, to, kind));
        }
    }
    (nodes, edges)
}

fn clear(node: &Node) {
    let taken = (
        std::mem::take(&mut *node.mutex.lock().unwrap()),
        std::mem::take(&mut *node.rw.write().unwrap()),
        node.cell.lock().unwrap().take(),
        std::mem::take(&mut *node.skipped.lock().unwrap()),
    );
    drop(taken);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        rng_seed: RngSeed::Fixed(0x1eaf),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn status_of_every_object_matches_the_oracle(spec in specs()) {
        let detector = ReferenceCycleDetector::new();
        let (nodes, edges) = build(&spec);
        let expected = oracle(&spec, &edges);
        let addresses: Vec<usize> = nodes.iter().map(|node| Arc::as_ptr(node).addr()).collect();
        let weak: Vec<Weak<Node>> = nodes.iter().map(Arc::downgrade).collect();
        for (node, &(_, tracked, _)) in nodes.iter().zip(&spec.nodes) {
            if tracked {
                detector.track_object(node);
            }
        }
        let held: Vec<Arc<Node>> = nodes
            .into_iter()
            .zip(&spec.nodes)
            .filter_map(|(node, &(held, _, locked))| (held || locked).then_some(node))
            .collect();
        let guards: Vec<_> = held
            .iter()
            .filter(|node| {
                let index = addresses.iter().position(|&a| a == Arc::as_ptr(node).addr()).unwrap();
                spec.nodes[index].2
            })
            .map(|node| node.mutex.lock().unwrap())
            .collect();

        let report = detector.report();
        drop(guards);
        drop(held);
        for node in weak.iter().filter_map(Weak::upgrade) {
            clear(&node);
        }

        let seen: Vec<Option<ObjectStatus>> = addresses
            .iter()
            .map(|&address| report.objects().iter().find(|object| object.address == address))
            .map(|object| object.map(|object| object.status))
            .collect();
        prop_assert_eq!(seen, expected.clone());
        let in_cycle = Some(ObjectStatus::InLeakedCycle);
        let in_cycles = expected.iter().filter(|&&status| status == in_cycle).count();
        prop_assert_eq!(report.objects_in_cycles(), in_cycles);
        for cycle in report.cycles() {
            prop_assert!(cycle.path.iter().all(|step| cycle.members.contains(&step.object)));
            for (i, step) in cycle.path.iter().enumerate() {
                let next = cycle.path[(i + 1) % cycle.path.len()].object;
                prop_assert!(report.ownerships().iter().any(|edge| edge.owner == step.object
                    && edge.owned == next
                    && edge.field == step.field));
            }
        }
        prop_assert!(weak.iter().all(|node| node.strong_count() == 0));
        prop_assert_eq!(detector.get_tracked_count(), 0);
    }
}
