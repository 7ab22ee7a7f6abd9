//! Reports of the detector without concurrent changes.

use std::sync::{Arc, Barrier, Mutex, OnceLock, RwLock, Weak, mpsc};
use std::thread;

use leak_detect::{
    CycleReport, ObjectStatus, ReferenceCycleDetector, Trace, Unlink, assert_no_cycles,
};

#[derive(Trace, Default)]
#[trace(unlink)]
struct Node {
    next: Mutex<Vec<Arc<Node>>>,
}

impl Node {
    fn points_to(&self, other: &Arc<Node>) {
        self.next.lock().unwrap().push(Arc::clone(other));
    }
}

impl Unlink for Node {
    fn unlink(&self) {
        let next = std::mem::take(&mut *self.next.lock().unwrap());
        drop(next);
    }
}

/// Returns `count` tracked nodes that form a ring.
fn ring(detector: &ReferenceCycleDetector, count: usize) -> Vec<Arc<Node>> {
    let nodes: Vec<Arc<Node>> = (0..count).map(|_| Arc::default()).collect();
    for (i, node) in nodes.iter().enumerate() {
        node.points_to(&nodes[(i + 1) % count]);
        detector.track_object(node);
    }
    nodes
}

fn status_of(report: &CycleReport, address: usize) -> ObjectStatus {
    let object = report
        .objects()
        .iter()
        .find(|object| object.address == address);
    object.expect("a visited object").status
}

fn address(node: &Arc<Node>) -> usize {
    Arc::as_ptr(node).addr()
}

#[test]
fn cycle_is_leaked_without_external_owners() {
    let detector = ReferenceCycleDetector::new();
    let mut nodes = ring(&detector, 3);
    let last = nodes.pop();
    drop(nodes);
    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 0);
    let owners: Vec<_> = report
        .objects()
        .iter()
        .map(|object| object.external_owners)
        .collect();
    assert_eq!(owners, [Some(0), Some(0), Some(1)]);
    assert!(
        report
            .objects()
            .iter()
            .all(|object| object.internal_owners == 1)
    );

    drop(last);
    assert_eq!(detector.detect_cycles(), 3);
    assert_eq!(detector.break_cycles().objects_unlinked, 3);
    assert_eq!(detector.get_tracked_count(), 0);
}

#[test]
fn detection_leaves_all_counts_unchanged() {
    let detector = ReferenceCycleDetector::new();
    let nodes = ring(&detector, 4);
    let untracked = Arc::new(Node::default());
    nodes[0].points_to(&untracked);
    let report = detector.report();
    assert_eq!(report.objects().len(), 5);
    for node in &nodes {
        assert_eq!((Arc::strong_count(node), Arc::weak_count(node)), (2, 1));
    }
    assert_eq!(
        (Arc::strong_count(&untracked), Arc::weak_count(&untracked)),
        (2, 0)
    );
    nodes[0].unlink();
}

#[test]
fn untracked_reachable_objects_are_followed() {
    let detector = ReferenceCycleDetector::new();
    let (a, b, c) = (
        Arc::<Node>::default(),
        Arc::<Node>::default(),
        Arc::<Node>::default(),
    );
    a.points_to(&b);
    b.points_to(&c);
    c.points_to(&a);
    detector.track_object(&b);
    drop((a, b, c));
    assert_eq!(detector.detect_cycles(), 3);
    detector.break_cycles();
    assert_eq!(detector.detect_cycles(), 0);
}

#[test]
fn objects_owned_by_a_leaked_cycle_have_their_own_status() {
    let detector = ReferenceCycleDetector::new();
    let nodes = ring(&detector, 2);
    let hanging = Arc::new(Node::default());
    nodes[1].points_to(&hanging);
    let (member, owned) = (address(&nodes[0]), address(&hanging));
    drop((nodes, hanging));
    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 2);
    assert_eq!(report.count(ObjectStatus::OwnedByLeakedCycle), 1);
    assert_eq!(status_of(&report, member), ObjectStatus::InLeakedCycle);
    assert_eq!(status_of(&report, owned), ObjectStatus::OwnedByLeakedCycle);
    assert_eq!(report.ownerships().len(), 3);
    detector.break_cycles();
}

#[test]
fn two_cycles_joined_one_way_are_separate() {
    let detector = ReferenceCycleDetector::new();
    let (first, second) = (ring(&detector, 2), ring(&detector, 3));
    first[0].points_to(&second[0]);
    drop((first, second));
    let report = detector.report();
    let sizes: Vec<_> = report
        .cycles()
        .iter()
        .map(|cycle| cycle.members.len())
        .collect();
    assert_eq!(sizes, [2, 3]);
    detector.break_cycles();
}

#[test]
fn owner_of_the_first_cycle_keeps_the_second_alive() {
    let detector = ReferenceCycleDetector::new();
    let (first, second) = (ring(&detector, 2), ring(&detector, 3));
    first[0].points_to(&second[0]);
    drop(second);
    assert_eq!(detector.detect_cycles(), 0);
    first[0].unlink();
    assert_eq!(detector.detect_cycles(), 3);
    detector.break_cycles();
    first[1].unlink();
}

#[test]
fn object_that_owns_itself_is_a_cycle() {
    let detector = ReferenceCycleDetector::new();
    drop(ring(&detector, 1));
    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 1);
    assert_eq!(report.cycles()[0].to_string(), "Node.next -> Node");
    detector.break_cycles();
}

#[test]
fn weak_references_own_nothing() {
    #[derive(Trace)]
    struct Child {
        parent: Weak<Parent>,
    }
    #[derive(Trace)]
    struct Parent {
        child: OnceLock<Arc<Child>>,
    }

    let detector = ReferenceCycleDetector::new();
    let parent = Arc::new(Parent {
        child: OnceLock::new(),
    });
    let child = Arc::new(Child {
        parent: Arc::downgrade(&parent),
    });
    assert!(parent.child.set(Arc::clone(&child)).is_ok());
    detector.track_object(&parent);
    detector.track_object(&child);
    drop(parent);
    assert_eq!(detector.detect_cycles(), 0);
    assert_eq!(detector.get_tracked_count(), 1);
    assert!(child.parent.upgrade().is_none());
}

#[test]
fn closures_channels_and_skipped_fields_are_external_owners() {
    #[derive(Trace, Default)]
    struct Holder {
        own: Mutex<Option<Arc<Holder>>>,
        #[trace(skip)]
        skipped: Mutex<Option<Arc<Holder>>>,
    }

    let detector = ReferenceCycleDetector::new();
    let holder = Arc::new(Holder::default());
    *holder.own.lock().unwrap() = Some(Arc::clone(&holder));
    detector.track_object(&holder);
    let weak = Arc::downgrade(&holder);

    let closure = {
        let holder = Arc::clone(&holder);
        move || drop(holder)
    };
    drop(holder);
    assert_eq!(detector.detect_cycles(), 0);

    let (sender, receiver) = mpsc::channel();
    sender.send(weak.upgrade().unwrap()).unwrap();
    closure();
    assert_eq!(detector.detect_cycles(), 0);

    let holder = receiver.recv().unwrap();
    *holder.skipped.lock().unwrap() = Some(Arc::clone(&holder));
    drop(holder);
    assert_eq!(detector.detect_cycles(), 0);

    let holder = weak.upgrade().unwrap();
    *holder.skipped.lock().unwrap() = None;
    drop(holder);
    assert_eq!(detector.detect_cycles(), 1);
    let holder = weak.upgrade().unwrap();
    *holder.own.lock().unwrap() = None;
}

#[test]
fn values_behind_a_locked_lock_are_external_owners() {
    let detector = ReferenceCycleDetector::new();
    let nodes = ring(&detector, 2);
    let inner = ring(&detector, 2);
    nodes[0].points_to(&inner[0]);
    let (locked, inner_address) = (address(&nodes[0]), address(&inner[0]));
    drop(inner);
    let (ready, done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let guard = nodes[0].next.lock().unwrap();
            ready.wait();
            done.wait();
            drop(guard);
        });
        ready.wait();
        let report = detector.report();
        assert_eq!(status_of(&report, inner_address), ObjectStatus::Live);
        let partial: Vec<_> = report
            .objects()
            .iter()
            .filter(|object| !object.fully_traced)
            .collect();
        assert_eq!(partial.len(), 1);
        assert_eq!(partial[0].address, locked);
        done.wait();
    });
    nodes[0].unlink();
    assert_eq!(detector.detect_cycles(), 2);
    detector.break_cycles();
}

#[test]
fn lock_held_by_the_calling_thread_does_not_deadlock() {
    let detector = ReferenceCycleDetector::new();
    let nodes = ring(&detector, 2);
    let guard = nodes[0].next.lock().unwrap();
    assert_eq!(detector.detect_cycles(), 0);
    drop(guard);
    nodes[0].unlink();
}

#[test]
fn poisoned_lock_is_traced() {
    let detector = ReferenceCycleDetector::new();
    let nodes = ring(&detector, 2);
    thread::scope(|scope| {
        let poisoner = scope.spawn(|| {
            let _guard = nodes[0].next.lock().unwrap();
            panic!("poisons the lock");
        });
        assert!(poisoner.join().is_err());
    });
    let weak = Arc::downgrade(&nodes[0]);
    drop(nodes);
    assert_eq!(detector.detect_cycles(), 2);
    let node = weak.upgrade().unwrap();
    node.next.clear_poison();
    node.unlink();
}

#[test]
fn read_lock_held_elsewhere_is_traced() {
    #[derive(Trace, Default)]
    struct Shared {
        own: RwLock<Option<Arc<Shared>>>,
        other: RwLock<Option<Arc<Shared>>>,
    }
    let detector = ReferenceCycleDetector::new();
    let (leaked, reader) = (Arc::<Shared>::default(), Arc::<Shared>::default());
    *leaked.own.write().unwrap() = Some(Arc::clone(&leaked));
    *reader.other.write().unwrap() = Some(Arc::clone(&leaked));
    detector.track_object(&reader);
    let weak = Arc::downgrade(&leaked);
    drop(leaked);
    let guard = reader.other.read().unwrap();
    let report = detector.report();
    assert!(report.objects().iter().all(|object| object.fully_traced));
    assert_eq!(report.objects().len(), 2);
    drop(guard);
    drop(reader);
    *weak.upgrade().unwrap().own.write().unwrap() = None;
}

#[test]
fn nested_locks_are_released_in_order() {
    #[derive(Trace, Default)]
    struct Nested {
        slots: Mutex<Vec<Slot>>,
    }
    type Slot = RwLock<Mutex<Option<Arc<Nested>>>>;
    let detector = ReferenceCycleDetector::new();
    let nested = Arc::new(Nested::default());
    for _ in 0..3 {
        let slot = RwLock::new(Mutex::new(Some(Arc::clone(&nested))));
        nested.slots.lock().unwrap().push(slot);
    }
    detector.track_object(&nested);
    let weak = Arc::downgrade(&nested);
    drop(nested);
    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 1);
    assert_eq!(report.objects()[0].internal_owners, 3);
    let nested = weak.upgrade().unwrap();
    let slots = std::mem::take(&mut *nested.slots.try_lock().unwrap());
    assert!(
        slots
            .iter()
            .all(|slot| slot.try_write().is_ok_and(|slot| slot.try_lock().is_ok()))
    );
}

#[test]
fn trait_objects_are_reported_by_their_concrete_types() {
    trait Plugin: Trace + Send + Sync {
        fn attach(&self, other: Arc<dyn Plugin>);
        fn detach(&self) -> usize;
    }
    #[derive(Trace, Default)]
    struct Echo {
        peers: Mutex<Vec<Arc<dyn Plugin>>>,
    }
    impl Plugin for Echo {
        fn attach(&self, other: Arc<dyn Plugin>) {
            self.peers.lock().unwrap().push(other);
        }
        fn detach(&self) -> usize {
            let peers = std::mem::take(&mut *self.peers.lock().unwrap());
            peers.len()
        }
    }

    let detector = ReferenceCycleDetector::new();
    let (a, b): (Arc<dyn Plugin>, Arc<Echo>) = (Arc::new(Echo::default()), Arc::default());
    a.attach(b.clone());
    b.attach(Arc::clone(&a));
    detector.track_object(&a);
    detector.track_object(&b);
    let weak = Arc::downgrade(&a);
    drop((a, b));
    let report = detector.report();
    assert_eq!(report.objects().len(), 2);
    assert_eq!(
        report.cycles()[0].to_string(),
        "Echo.peers -> Echo.peers -> Echo"
    );
    assert_eq!(weak.upgrade().unwrap().detach(), 1);
}

#[test]
fn tracking_is_idempotent() {
    let detector = ReferenceCycleDetector::new();
    let node = Arc::new(Node::default());
    for _ in 0..100 {
        detector.track_object(&node);
    }
    assert_eq!(detector.get_tracked_count(), 1);
    assert_eq!(detector.report().objects().len(), 1);
    drop(node);
    assert_eq!(detector.get_tracked_count(), 0);
}

#[test]
fn cleared_registry_tracks_nothing() {
    let detector = ReferenceCycleDetector::new();
    let nodes = ring(&detector, 5);
    detector.clear_registry();
    assert_eq!(detector.get_tracked_count(), 0);
    assert!(nodes.iter().all(|node| Arc::weak_count(node) == 0));
    detector.track_object(&nodes[0]);
    assert_eq!(detector.get_tracked_count(), 1);
    drop(nodes);
    assert_eq!(detector.detect_cycles(), 5);
    detector.break_cycles();
}

#[test]
fn one_unlinkable_member_suffices_and_cycles_without_one_are_left() {
    #[derive(Trace)]
    struct Fixed {
        node: Arc<Switch>,
    }
    #[derive(Trace, Default)]
    #[trace(unlink)]
    struct Switch {
        fixed: Mutex<Option<Arc<Fixed>>>,
    }
    impl Unlink for Switch {
        fn unlink(&self) {
            let fixed = self.fixed.lock().unwrap().take();
            drop(fixed);
        }
    }
    #[derive(Trace, Default)]
    struct Stuck {
        own: Mutex<Option<Arc<Stuck>>>,
    }

    let detector = ReferenceCycleDetector::new();
    let switch = Arc::new(Switch::default());
    *switch.fixed.lock().unwrap() = Some(Arc::new(Fixed {
        node: Arc::clone(&switch),
    }));
    detector.track_object(&switch);
    assert!(Arc::ptr_eq(
        &switch.fixed.lock().unwrap().as_ref().unwrap().node,
        &switch
    ));
    drop(switch);
    let stuck = Arc::new(Stuck::default());
    *stuck.own.lock().unwrap() = Some(Arc::clone(&stuck));
    detector.track_object(&stuck);
    let weak = Arc::downgrade(&stuck);
    drop(stuck);

    let broken = detector.break_cycles();
    assert_eq!((broken.objects_unlinked, broken.cycles_left), (1, 1));
    assert_eq!(detector.detect_cycles(), 1);
    *weak.upgrade().unwrap().own.lock().unwrap() = None;
    assert_eq!(detector.get_tracked_count(), 0);
}

#[test]
fn long_ring_is_found_and_broken_without_recursion() {
    let detector = ReferenceCycleDetector::new();
    drop(ring(&detector, 100_000));
    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 100_000);
    let path = report.cycles()[0].to_string();
    assert!(
        path.ends_with("Node.next -> (99988 more) -> Node"),
        "{path}"
    );
    assert_eq!(detector.break_cycles().objects_unlinked, 100_000);
    assert_eq!(detector.get_tracked_count(), 0);
}

#[test]
fn destructors_may_call_the_detector() {
    static DETECTOR: ReferenceCycleDetector = ReferenceCycleDetector::new();

    #[derive(Trace, Default)]
    #[trace(unlink)]
    struct Caller {
        next: Mutex<Option<Arc<Caller>>>,
    }
    impl Unlink for Caller {
        fn unlink(&self) {
            let next = self.next.lock().unwrap().take();
            drop(next);
            DETECTOR.report();
        }
    }
    impl Drop for Caller {
        fn drop(&mut self) {
            DETECTOR.detect_cycles();
            // Another type, since this destructor would recurse forever.
            DETECTOR.track_object(&Arc::new(String::new()));
            DETECTOR.break_cycles();
        }
    }
    let (a, b) = (Arc::<Caller>::default(), Arc::<Caller>::default());
    *a.next.lock().unwrap() = Some(Arc::clone(&b));
    *b.next.lock().unwrap() = Some(Arc::clone(&a));
    DETECTOR.track_object(&a);
    drop((a, b));
    // The detection's handles are the last owners, so the destructors run inside it.
    assert_eq!(DETECTOR.break_cycles().objects_unlinked, 2);
    assert_eq!(DETECTOR.get_tracked_count(), 0);
}

#[test]
fn sizes_include_the_heap_of_collections() {
    #[derive(Trace)]
    struct Buffer {
        samples: Vec<u32>,
        name: String,
        boxed: Box<[u64; 4]>,
    }
    let detector = ReferenceCycleDetector::new();
    let buffer = Arc::new(Buffer {
        samples: Vec::with_capacity(1000),
        name: String::with_capacity(50),
        boxed: Box::new([0; 4]),
    });
    detector.track_object(&buffer);
    let report = detector.report();
    let own = size_of::<Buffer>();
    let expected =
        own + buffer.samples.capacity() * 4 + buffer.name.capacity() + buffer.boxed.len() * 8;
    assert_eq!(report.objects()[0].bytes, expected);
}

#[test]
fn summary_and_graph_name_the_cycle() {
    let detector = ReferenceCycleDetector::new();
    let nodes = ring(&detector, 2);
    nodes[0].points_to(&Arc::default());
    drop(nodes);
    let report = detector.report();
    let summary = report.to_string();
    assert!(
        summary.starts_with("2 objects in 1 leaked cycle, 1 more owned by them, "),
        "{summary}"
    );
    assert!(
        summary.contains("\n  Node.next -> Node.next -> Node (2 objects, "),
        "{summary}"
    );

    let dot = report.to_dot();
    assert!(
        dot.starts_with("digraph leaks {\n") && dot.ends_with("}\n"),
        "{dot}"
    );
    assert_eq!(dot.matches("[label=\"next\"]").count(), 3, "{dot}");
    assert_eq!(dot.matches("subgraph").count(), 1, "{dot}");
    assert_eq!(dot.matches('{').count(), dot.matches('}').count(), "{dot}");
    detector.break_cycles();
}

#[test]
fn duplicate_edges_of_a_manual_trace_cause_no_false_report() {
    /// Reports its `Arc` three times but owns it once.
    #[derive(Default)]
    struct Duplicating {
        own: Mutex<Option<Arc<Duplicating>>>,
    }
    impl Trace for Duplicating {
        fn trace<'a>(&'a self, tracer: &mut leak_detect::Tracer<'a>) {
            if let Ok(own) = self.own.try_lock() {
                let copies: Vec<_> = own.iter().cycle().take(3).cloned().collect();
                drop(own);
                tracer.guarded(Box::new(copies));
            }
        }
    }
    let detector = ReferenceCycleDetector::new();
    let object = Arc::new(Duplicating::default());
    *object.own.lock().unwrap() = Some(Arc::clone(&object));
    detector.track_object(&object);
    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 0);
    drop(report);
    *object.own.lock().unwrap() = None;
}

#[test]
fn assertion_prints_the_path_of_each_cycle() {
    let detector = ReferenceCycleDetector::new();
    assert_no_cycles!(detector);
    let nodes = ring(&detector, 2);
    assert_no_cycles!(&detector);
    drop(nodes);
    drop(ring(&detector, 1));
    let panic = std::panic::catch_unwind(|| assert_no_cycles!(detector)).expect_err("two cycles");
    let message = panic.downcast::<String>().expect("a formatted message");
    assert!(
        message.starts_with("3 objects in 2 leaked cycles, "),
        "{message}"
    );
    assert!(
        message.contains("\n  Node.next -> Node.next -> Node (2 objects, "),
        "{message}"
    );
    assert!(
        message.contains("\n  Node.next -> Node (1 object, "),
        "{message}"
    );
    detector.break_cycles();
    assert_no_cycles!(detector);
}
