//! What the detector reports, with nothing moving.

use std::sync::{Arc, Barrier, Mutex, OnceLock, RwLock, Weak, mpsc};
use std::thread;

use leak_detect::{CycleReport, ObjectStatus, ReferenceCycleDetector, Trace, Unlink};

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

/// `count` tracked nodes, each pointing to the next and the last to the first.
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
    object.expect("an object that was looked at").status
}

fn address(node: &Arc<Node>) -> usize {
    Arc::as_ptr(node).addr()
}

#[test]
fn a_cycle_is_leaked_once_its_last_outside_owner_is_gone() {
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
fn a_detection_leaves_all_counts_as_they_were() {
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
fn untracked_objects_on_the_way_are_followed() {
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
fn what_a_leaked_cycle_owns_is_told_apart_from_its_members() {
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
fn two_cycles_joined_one_way_are_two_cycles() {
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
fn an_owner_of_the_first_cycle_keeps_the_second_alive() {
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
fn an_object_that_owns_itself_is_a_cycle() {
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
fn an_arc_in_a_closure_a_channel_or_a_skipped_field_is_an_outside_owner() {
    #[derive(Trace, Default)]
    struct Holder {
        itself: Mutex<Option<Arc<Holder>>>,
        #[trace(skip)]
        skipped: Mutex<Option<Arc<Holder>>>,
    }

    let detector = ReferenceCycleDetector::new();
    let holder = Arc::new(Holder::default());
    *holder.itself.lock().unwrap() = Some(Arc::clone(&holder));
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
    *holder.itself.lock().unwrap() = None;
}

#[test]
fn behind_a_lock_held_elsewhere_is_outside() {
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
        let partly: Vec<_> = report
            .objects()
            .iter()
            .filter(|object| !object.fully_traced)
            .collect();
        assert_eq!(partly.len(), 1);
        assert_eq!(partly[0].address, locked);
        done.wait();
    });
    nodes[0].unlink();
    assert_eq!(detector.detect_cycles(), 2);
    detector.break_cycles();
}

#[test]
fn a_lock_held_by_the_calling_thread_is_no_deadlock() {
    let detector = ReferenceCycleDetector::new();
    let nodes = ring(&detector, 2);
    let guard = nodes[0].next.lock().unwrap();
    assert_eq!(detector.detect_cycles(), 0);
    drop(guard);
    nodes[0].unlink();
}

#[test]
fn a_poisoned_lock_is_looked_into() {
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
fn a_read_lock_held_elsewhere_hides_nothing() {
    #[derive(Trace, Default)]
    struct Shared {
        itself: RwLock<Option<Arc<Shared>>>,
        other: RwLock<Option<Arc<Shared>>>,
    }
    let detector = ReferenceCycleDetector::new();
    let (leaked, reader) = (Arc::<Shared>::default(), Arc::<Shared>::default());
    *leaked.itself.write().unwrap() = Some(Arc::clone(&leaked));
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
    *weak.upgrade().unwrap().itself.write().unwrap() = None;
}

#[test]
fn locks_within_locks_are_released_in_order() {
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
fn trait_objects_are_tracked_and_followed_under_their_own_names() {
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
fn tracking_twice_is_tracking_once() {
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
fn a_cleared_registry_watches_nothing() {
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
fn one_unlinkable_member_is_enough_and_none_is_reported() {
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
        itself: Mutex<Option<Arc<Stuck>>>,
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
    *stuck.itself.lock().unwrap() = Some(Arc::clone(&stuck));
    detector.track_object(&stuck);
    let weak = Arc::downgrade(&stuck);
    drop(stuck);

    let broken = detector.break_cycles();
    assert_eq!((broken.objects_unlinked, broken.cycles_left), (1, 1));
    assert_eq!(detector.detect_cycles(), 1);
    *weak.upgrade().unwrap().itself.lock().unwrap() = None;
    assert_eq!(detector.get_tracked_count(), 0);
}

#[test]
fn a_long_ring_is_found_and_broken_without_recursion() {
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
            // Another type: its own destructor would recurse for ever.
            DETECTOR.track_object(&Arc::new(String::new()));
            DETECTOR.break_cycles();
        }
    }
    let (a, b) = (Arc::<Caller>::default(), Arc::<Caller>::default());
    *a.next.lock().unwrap() = Some(Arc::clone(&b));
    *b.next.lock().unwrap() = Some(Arc::clone(&a));
    DETECTOR.track_object(&a);
    drop((a, b));
    // The handles of the detection are the last owners, and the destructors run inside it.
    assert_eq!(DETECTOR.break_cycles().objects_unlinked, 2);
    assert_eq!(DETECTOR.get_tracked_count(), 0);
}

#[test]
fn sizes_include_what_collections_own() {
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
fn the_summary_and_the_graph_name_the_cycle() {
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
fn a_trace_that_reports_too_much_invents_no_leak() {
    /// Reports its `Arc` three times although it owns it once.
    #[derive(Default)]
    struct Liar {
        itself: Mutex<Option<Arc<Liar>>>,
    }
    impl Trace for Liar {
        fn trace<'a>(&'a self, tracer: &mut leak_detect::Tracer<'a>) {
            if let Ok(itself) = self.itself.try_lock() {
                let copies: Vec<_> = itself.iter().cycle().take(3).cloned().collect();
                drop(itself);
                tracer.guarded(Box::new(copies));
            }
        }
    }
    let detector = ReferenceCycleDetector::new();
    let liar = Arc::new(Liar::default());
    *liar.itself.lock().unwrap() = Some(Arc::clone(&liar));
    detector.track_object(&liar);
    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 0);
    drop(report);
    *liar.itself.lock().unwrap() = None;
}
