//! Cycles that `break_cycles` frees, and those that it cannot break.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use leak_detect::{ReferenceCycleDetector, Trace, TracedFn, Unlink};

/// A tracked object that can be unlinked.
#[derive(Trace, Default)]
#[trace(unlink)]
struct Root {
    child: Mutex<Option<Arc<Fixed>>>,
}

impl Unlink for Root {
    fn unlink(&self) {
        let child = self.child.lock().unwrap().take();
        drop(child);
    }
}

/// An object that cannot be unlinked.
#[derive(Trace, Default)]
struct Fixed {
    root: OnceLock<Arc<Root>>,
    peer: Mutex<Option<Arc<Fixed>>>,
}

impl Fixed {
    fn points_to(&self, peer: &Arc<Fixed>) {
        *self.peer.lock().unwrap() = Some(Arc::clone(peer));
    }
}

/// Returns the number of objects that are alive.
fn alive(objects: &[Weak<Fixed>]) -> usize {
    objects
        .iter()
        .filter(|object| object.strong_count() > 0)
        .count()
}

#[test]
fn cycle_behind_a_freed_root_stays_reported() {
    let detector = ReferenceCycleDetector::new();
    let root = Arc::<Root>::default();
    let (entry, a, b) = (
        Arc::<Fixed>::default(),
        Arc::<Fixed>::default(),
        Arc::<Fixed>::default(),
    );
    // root <-> entry -> a <-> b
    *root.child.lock().unwrap() = Some(Arc::clone(&entry));
    assert!(entry.root.set(Arc::clone(&root)).is_ok());
    entry.points_to(&a);
    a.points_to(&b);
    b.points_to(&a);
    detector.track_object(&root);
    let fixed = [&entry, &a, &b].map(Arc::downgrade);
    let weak_root = Arc::downgrade(&root);
    drop((root, entry, a, b));
    assert_eq!(detector.detect_cycles(), 4);

    let broken = detector.break_cycles();
    assert_eq!(
        (
            broken.objects_unlinked,
            broken.objects_freed,
            broken.cycles_left
        ),
        (1, 2, 1)
    );
    assert!(weak_root.upgrade().is_none());
    assert_eq!(alive(&fixed), 2, "only the cycle of `a` and `b`");
    // Neither was tracked, and the root that led to them is gone.
    let report = detector.report();
    assert_eq!(report.objects_in_cycles(), 2);
    assert_eq!(
        report.cycles()[0].to_string(),
        "Fixed.peer -> Fixed.peer -> Fixed"
    );
    let again = detector.break_cycles();
    assert_eq!((again.objects_unlinked, again.cycles_left), (0, 1));
    assert_eq!(detector.detect_cycles(), 2);

    drop(fixed[1].upgrade().unwrap().peer.lock().unwrap().take());
    assert_eq!((detector.detect_cycles(), alive(&fixed)), (0, 0));
    assert_eq!(detector.get_tracked_count(), 0);
}

#[test]
fn untracked_members_of_every_cycle_are_unlinked() {
    let detector = ReferenceCycleDetector::new();
    let roots: Vec<Arc<Root>> = (0..4).map(|_| Arc::default()).collect();
    let mut fixed: Vec<Weak<Fixed>> = Vec::new();
    for (i, root) in roots.iter().enumerate() {
        // Each root has a cycle with its child, whose peer leads to the next root's child.
        let child = Arc::<Fixed>::default();
        assert!(child.root.set(Arc::clone(root)).is_ok());
        if let Some(before) = fixed.last().and_then(Weak::upgrade) {
            before.points_to(&child);
        }
        fixed.push(Arc::downgrade(&child));
        *root.child.lock().unwrap() = Some(child);
        if i == 0 {
            detector.track_object(root);
        }
    }
    drop(roots);
    assert_eq!(detector.report().cycles().len(), 4);
    let broken = detector.break_cycles();
    assert_eq!(
        (
            broken.objects_unlinked,
            broken.objects_freed,
            broken.cycles_left
        ),
        (4, 8, 0)
    );
    assert_eq!(alive(&fixed), 0);
}

#[test]
fn live_object_of_a_freed_root_is_reported_when_it_leaks_later() {
    let detector = ReferenceCycleDetector::new();
    let root = Arc::<Root>::default();
    let (child, shared) = (Arc::<Fixed>::default(), Arc::<Fixed>::default());
    *root.child.lock().unwrap() = Some(Arc::clone(&child));
    assert!(child.root.set(Arc::clone(&root)).is_ok());
    child.points_to(&shared);
    shared.points_to(&shared);
    detector.track_object(&root);
    drop((root, child));
    let broken = detector.break_cycles();
    assert_eq!((broken.objects_freed, broken.cycles_left), (2, 0));

    let weak = Arc::downgrade(&shared);
    drop(shared);
    assert_eq!(detector.detect_cycles(), 1);
    drop(weak.upgrade().unwrap().peer.lock().unwrap().take());
}

#[test]
fn cycle_that_a_destructor_leaves_is_broken_too() {
    /// Hands its second root over to a new cycle when it is dropped.
    #[derive(Trace, Default)]
    #[trace(unlink)]
    struct Heir {
        itself: Mutex<Option<Arc<Heir>>>,
        heir: Mutex<Option<Arc<Heir>>>,
    }
    impl Unlink for Heir {
        fn unlink(&self) {
            let itself = self.itself.lock().unwrap().take();
            drop(itself);
        }
    }
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    impl Drop for Heir {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            if let Some(heir) = self.heir.lock().unwrap().take() {
                let itself = Arc::clone(&heir);
                *heir.itself.lock().unwrap() = Some(itself);
            }
        }
    }

    let detector = ReferenceCycleDetector::new();
    let first = Arc::<Heir>::default();
    *first.itself.lock().unwrap() = Some(Arc::clone(&first));
    *first.heir.lock().unwrap() = Some(Arc::default());
    detector.track_object(&first);
    drop(first);
    let broken = detector.break_cycles();
    assert_eq!((broken.objects_unlinked, broken.cycles_left), (2, 0));
    assert_eq!(DROPPED.load(Ordering::Relaxed), 2);
    assert_eq!(detector.get_tracked_count(), 0);
}

#[derive(Trace, Default)]
struct Machine {
    on_stop: OnceLock<TracedFn<str, usize>>,
}

#[test]
fn cycle_through_a_callback_is_named_and_freed_without_other_unlinkable_types() {
    #[derive(Trace)]
    struct Log {
        machine: Arc<Machine>,
        lines: Mutex<Vec<String>>,
    }
    let detector = ReferenceCycleDetector::new();
    let machine = Arc::<Machine>::default();
    let log = Arc::new(Log {
        machine: Arc::clone(&machine),
        lines: Mutex::default(),
    });
    let callback = TracedFn::new(log, |log, line: &str| {
        let mut lines = log.lines.lock().unwrap();
        lines.push(line.to_owned());
        assert!(log.machine.on_stop.get().is_some());
        lines.len()
    });
    assert!(machine.on_stop.set(callback.clone()).is_ok());
    assert_eq!(callback.call("one"), Some(1));
    assert_eq!(machine.on_stop.get().unwrap().call("two"), Some(2));
    detector.track_object(&machine);
    let weak = Arc::downgrade(&machine);
    drop(machine);
    assert_eq!(
        detector.detect_cycles(),
        0,
        "`callback` is an external owner"
    );

    let copy = callback.clone();
    drop(callback);
    assert_eq!(detector.detect_cycles(), 0);
    drop(copy);
    assert_eq!(
        detector.report().cycles()[0].to_string(),
        "Machine.on_stop -> TracedFn<Log>.state -> Log.machine -> Machine"
    );
    let broken = detector.break_cycles();
    assert_eq!((broken.objects_unlinked, broken.objects_freed), (1, 3));
    assert!(weak.upgrade().is_none());
}

#[test]
fn call_of_an_unlinked_callback_returns_none() {
    let detector = ReferenceCycleDetector::new();
    let machine = Arc::<Machine>::default();
    let weak = Arc::downgrade(&machine);
    // Its destructor runs while the cycle is broken.
    struct CallsAtEnd(Weak<Machine>, Arc<Mutex<Option<Option<usize>>>>);
    impl Trace for CallsAtEnd {
        fn trace<'a>(&'a self, _: &mut leak_detect::Tracer<'a>) {}
    }
    impl Drop for CallsAtEnd {
        fn drop(&mut self) {
            let machine = self.0.upgrade().unwrap();
            *self.1.lock().unwrap() = Some(machine.on_stop.get().unwrap().call(""));
        }
    }
    let result = Arc::new(Mutex::new(None));
    // Dropped in this order.
    let state = (
        CallsAtEnd(weak.clone(), Arc::clone(&result)),
        Arc::clone(&machine),
    );
    let callback = TracedFn::new(Arc::new(state), |_, text: &str| text.len());
    assert_eq!(callback.call("four"), Some(4));
    assert!(machine.on_stop.set(callback).is_ok());
    detector.track_object(&machine);
    drop(machine);
    detector.break_cycles();
    assert_eq!(*result.lock().unwrap(), Some(None));
    assert!(weak.upgrade().is_none());
}

#[test]
fn captures_of_an_untraced_callback_are_external_owners() {
    let detector = ReferenceCycleDetector::new();
    let machine = Arc::<Machine>::default();
    let captured = Arc::clone(&machine);
    let callback = TracedFn::untraced(move |_: &str| Arc::strong_count(&captured));
    assert!(machine.on_stop.set(callback).is_ok());
    detector.track_object(&machine);
    let weak = Arc::downgrade(&machine);
    drop(machine);
    assert_eq!(detector.detect_cycles(), 0);
    assert_eq!(weak.strong_count(), 1, "the leak that is not found");
}
