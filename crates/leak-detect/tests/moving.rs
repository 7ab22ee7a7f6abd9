//! Detections while handles move at the worst moments. Hooks in `Trace` move them in place of another
//! thread.

use std::sync::{Arc, Mutex};

use leak_detect::{CycleReport, ObjectStatus, ReferenceCycleDetector, Trace, Tracer};

/// Runs before the object is traced.
type Hook = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Node {
    next: Mutex<Option<Arc<Node>>>,
    extra: Mutex<Option<Arc<Node>>>,
    hook: Mutex<Option<Hook>>,
}

impl Trace for Node {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        if let Some(hook) = &*self.hook.lock().unwrap() {
            hook();
        }
        tracer.field("next", &self.next);
        tracer.field("extra", &self.extra);
    }
}

impl Node {
    fn before_trace(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }
}

fn pair(detector: &ReferenceCycleDetector) -> (Arc<Node>, Arc<Node>) {
    let (a, b) = (Arc::<Node>::default(), Arc::<Node>::default());
    *a.next.lock().unwrap() = Some(Arc::clone(&b));
    *b.next.lock().unwrap() = Some(Arc::clone(&a));
    detector.track_object(&a);
    detector.track_object(&b);
    (a, b)
}

fn take_apart(node: &Node) {
    let taken = (
        node.next.lock().unwrap().take(),
        node.extra.lock().unwrap().take(),
        node.hook.lock().unwrap().take(),
    );
    drop(taken);
}

fn unsettled(report: &CycleReport) -> usize {
    report.count(ObjectStatus::Unsettled)
}

/// An owner always owns one of the two nodes. It stores its handle of `b` in `a` while `a` is traced, and
/// removes it again to store its handle of `a` in `b` while `b` is traced. Both passes find the same edges
/// and counts, and no external owner.
#[test]
fn handle_that_hides_in_the_traced_object_is_no_leak() {
    let detector = ReferenceCycleDetector::new();
    let (a, b) = pair(&detector);
    let (weak_a, weak_b) = (Arc::downgrade(&a), Arc::downgrade(&b));
    // The owner's handles that are not stored in a node.
    let owner = Arc::new(Mutex::new(vec![a, b]));

    let moved = |hidden_in: usize| {
        let nodes = [weak_a.clone(), weak_b.clone()];
        let owner = Arc::clone(&owner);
        move || {
            let [into, out_of] =
                [&nodes[hidden_in], &nodes[1 - hidden_in]].map(|node| node.upgrade().unwrap());
            let mut owner = owner.lock().unwrap();
            // If the detector holds the lock, another thread would block, so nothing moves.
            let (Ok(mut into_slot), Ok(mut out_slot)) =
                (into.extra.try_lock(), out_of.extra.try_lock())
            else {
                return;
            };
            owner.extend(out_slot.take());
            let hidden = owner
                .iter()
                .position(|node| Arc::ptr_eq(node, &out_of))
                .unwrap();
            *into_slot = Some(owner.swap_remove(hidden));
            assert_eq!(owner.len(), 1);
        }
    };
    weak_a.upgrade().unwrap().before_trace(moved(0));
    weak_b.upgrade().unwrap().before_trace(moved(1));

    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 0, "{report}");
    assert_eq!(unsettled(&report), 2, "the first pass is misled: {report}");
    let owner = std::mem::take(&mut *owner.lock().unwrap());
    owner.iter().for_each(|node| take_apart(node));
    drop(owner);
    assert_eq!(detector.get_tracked_count(), 0);
}

#[test]
fn upgrade_of_a_weak_reference_unsettles_the_cycle() {
    let detector = ReferenceCycleDetector::new();
    let (a, b) = pair(&detector);
    let owner: Arc<Mutex<Option<Arc<Node>>>> = Arc::default();
    let passes = Mutex::new(0);
    let (weak, hook_owner) = (Arc::downgrade(&a), Arc::clone(&owner));
    b.before_trace(move || {
        let mut passes = passes.lock().unwrap();
        *passes += 1;
        if *passes == 2 {
            *hook_owner.lock().unwrap() = weak.upgrade();
        }
    });
    drop((a, b));
    let report = detector.report();
    assert_eq!(
        (report.objects_in_cycles(), unsettled(&report)),
        (0, 2),
        "{report}"
    );
    let a = owner.lock().unwrap().take().unwrap();
    let b = a.next.lock().unwrap().clone().unwrap();
    take_apart(&a);
    take_apart(&b);
}

#[test]
fn changed_edge_unsettles_only_reachable_objects() {
    let detector = ReferenceCycleDetector::new();
    let (a, b) = pair(&detector);
    let (quiet, _) = pair(&detector);
    let moved = Arc::new(Mutex::new(None));
    let passes = Mutex::new(0);
    let (weak, hook_moved) = (Arc::downgrade(&a), Arc::clone(&moved));
    a.before_trace(move || {
        let mut passes = passes.lock().unwrap();
        *passes += 1;
        if *passes == 2 {
            // The `Arc` moves to the stack, so the count of its target is unchanged.
            *hook_moved.lock().unwrap() = weak.upgrade().unwrap().next.lock().unwrap().take();
        }
    });
    let weak = [Arc::downgrade(&a), Arc::downgrade(&quiet)];
    drop((a, b, quiet));
    let report = detector.report();
    assert_eq!(
        (report.objects_in_cycles(), unsettled(&report)),
        (2, 2),
        "{report}"
    );
    let b = moved.lock().unwrap().take().unwrap();
    take_apart(&b);
    weak.iter()
        .filter_map(|node| node.upgrade())
        .for_each(|node| take_apart(&node));
}

#[test]
fn object_whose_last_owner_is_dropped_during_the_detection_is_expiring() {
    let detector = ReferenceCycleDetector::new();
    let (going, hooked) = (Arc::<Node>::default(), Arc::<Node>::default());
    detector.track_object(&hooked);
    detector.track_object(&going);
    let weak = Arc::downgrade(&going);
    let owner = Mutex::new(Some(going));
    hooked.before_trace(move || drop(owner.lock().unwrap().take()));
    let report = detector.report();
    assert_eq!((report.objects_in_cycles(), report.leaked_bytes()), (0, 0));
    assert_eq!(report.count(ObjectStatus::Expiring), 1);
    assert!(weak.upgrade().is_none());
}
