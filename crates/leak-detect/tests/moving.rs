//! What a detection makes of handles that move at the worst moments. Instead of another thread,
//! hooks in `Trace` do the moving: each stands for what that thread would do at that moment.

use std::sync::{Arc, Mutex};

use leak_detect::{CycleReport, ObjectStatus, ReferenceCycleDetector, Trace, Tracer};

/// Runs when the object is about to be looked into.
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

/// The hand always owns one of the two. It puts its handle of `b` into `a` while `a` is looked into
/// and takes it out again to put its handle of `a` into `b` while that is looked into. Both passes
/// see the same edges and the same counts, and no owner from outside.
#[test]
fn a_handle_that_hides_wherever_the_detector_looks_is_no_leak() {
    let detector = ReferenceCycleDetector::new();
    let (a, b) = pair(&detector);
    let (weak_a, weak_b) = (Arc::downgrade(&a), Arc::downgrade(&b));
    // What the hand holds besides what it has hidden.
    let hand = Arc::new(Mutex::new(vec![a, b]));

    let moved = |hidden_in: usize| {
        let nodes = [weak_a.clone(), weak_b.clone()];
        let hand = Arc::clone(&hand);
        move || {
            let [into, out_of] =
                [&nodes[hidden_in], &nodes[1 - hidden_in]].map(|node| node.upgrade().unwrap());
            let mut hand = hand.lock().unwrap();
            // Like a thread that would have to wait: if the detector holds the lock, nothing moves.
            let (Ok(mut into_slot), Ok(mut out_slot)) =
                (into.extra.try_lock(), out_of.extra.try_lock())
            else {
                return;
            };
            hand.extend(out_slot.take());
            let hidden = hand
                .iter()
                .position(|node| Arc::ptr_eq(node, &out_of))
                .unwrap();
            *into_slot = Some(hand.swap_remove(hidden));
            assert_eq!(hand.len(), 1);
        }
    };
    weak_a.upgrade().unwrap().before_trace(moved(0));
    weak_b.upgrade().unwrap().before_trace(moved(1));

    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 0, "{report}");
    assert_eq!(
        unsettled(&report),
        2,
        "the first pass must have been misled: {report}"
    );
    let hand = std::mem::take(&mut *hand.lock().unwrap());
    hand.iter().for_each(|node| take_apart(node));
    drop(hand);
    assert_eq!(detector.get_tracked_count(), 0);
}

#[test]
fn an_owner_that_comes_back_through_a_weak_reference_unsettles_the_cycle() {
    let detector = ReferenceCycleDetector::new();
    let (a, b) = pair(&detector);
    let hand: Arc<Mutex<Option<Arc<Node>>>> = Arc::default();
    let passes = Mutex::new(0);
    let (weak, hook_hand) = (Arc::downgrade(&a), Arc::clone(&hand));
    b.before_trace(move || {
        let mut passes = passes.lock().unwrap();
        *passes += 1;
        if *passes == 2 {
            *hook_hand.lock().unwrap() = weak.upgrade();
        }
    });
    drop((a, b));
    let report = detector.report();
    assert_eq!(
        (report.objects_in_cycles(), unsettled(&report)),
        (0, 2),
        "{report}"
    );
    let a = hand.lock().unwrap().take().unwrap();
    let b = a.next.lock().unwrap().clone().unwrap();
    take_apart(&a);
    take_apart(&b);
}

#[test]
fn an_edge_that_changes_between_the_passes_unsettles_only_what_it_leads_to() {
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
            // Not lost: it moves to the stack, so the count of what it points to stays the same.
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
fn an_object_whose_last_owner_goes_meanwhile_is_dropped_and_not_reported() {
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
