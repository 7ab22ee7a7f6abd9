//! Values that are nested more deeply than the stack allows.

use std::sync::{Arc, Mutex};
use std::thread;

use leak_detect::{ReferenceCycleDetector, Trace};

const DEPTH: usize = 1_000_000;

/// The stack of threads that trace; a frame per level would need a hundred times as much.
const STACK_BYTES: usize = 128 << 10;

#[derive(Trace, Default)]
struct Owner {
    list: Mutex<Option<Box<Link>>>,
}

#[derive(Trace)]
struct Link {
    owner: Option<Arc<Owner>>,
    next: Option<Box<Link>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        // The derived drop is recursive.
        let mut next = self.next.take();
        while let Some(mut link) = next {
            next = link.next.take();
        }
    }
}

fn on_a_small_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work).unwrap();
        thread.join().unwrap()
    })
}

/// Returns a list whose last link has `owner`.
fn list(depth: usize, owner: &Arc<Owner>) -> Option<Box<Link>> {
    let mut list = Some(Box::new(Link {
        owner: Some(Arc::clone(owner)),
        next: None,
    }));
    for _ in 1..depth {
        list = Some(Box::new(Link {
            owner: None,
            next: list,
        }));
    }
    list
}

#[test]
fn list_of_a_million_boxes_is_traced_to_its_end() {
    let detector = ReferenceCycleDetector::new();
    let owner = Arc::<Owner>::default();
    *owner.list.lock().unwrap() = list(DEPTH, &owner);
    detector.track_object(&owner);
    let weak = Arc::downgrade(&owner);
    drop(owner);
    let report = on_a_small_stack(|| detector.report());
    assert_eq!(report.objects_in_cycles(), 1);
    assert!(report.leaked_bytes() >= DEPTH * size_of::<Link>());
    // The middle of the path is shortened.
    assert_eq!(
        report.cycles()[0].to_string(),
        "Owner.list.next.next.next.….next.next.next.owner -> Owner"
    );
    let list = weak.upgrade().unwrap().list.lock().unwrap().take();
    drop(list);
    assert_eq!(detector.get_tracked_count(), 0);
}

#[test]
fn every_arc_in_a_deep_list_is_counted() {
    let detector = ReferenceCycleDetector::new();
    let owner = Arc::<Owner>::default();
    let mut first = list(10_000, &owner);
    let mut link = first.as_mut();
    while let Some(next) = link {
        next.owner = Some(Arc::clone(&owner));
        link = next.next.as_mut();
    }
    *owner.list.lock().unwrap() = first;
    detector.track_object(&owner);
    let weak = Arc::downgrade(&owner);
    drop(owner);
    let report = on_a_small_stack(|| detector.report());
    assert_eq!(report.objects()[0].internal_owners, 10_000);
    assert_eq!(report.objects_in_cycles(), 1);
    drop(weak.upgrade().unwrap().list.lock().unwrap().take());
}

#[test]
fn nested_locks_and_vectors_are_traced_without_recursion() {
    #[derive(Trace)]
    struct Shelf(Mutex<Vec<Shelf>>);
    impl Drop for Shelf {
        fn drop(&mut self) {
            let mut shelves = std::mem::take(self.0.get_mut().unwrap());
            while let Some(mut shelf) = shelves.pop() {
                shelves.append(shelf.0.get_mut().unwrap());
            }
        }
    }
    let mut shelf = Shelf(Mutex::default());
    for _ in 0..100_000 {
        shelf = Shelf(Mutex::new(vec![shelf]));
    }
    let detector = ReferenceCycleDetector::new();
    let shelf = Arc::new(shelf);
    detector.track_object(&shelf);
    let report = on_a_small_stack(|| detector.report());
    assert!(report.objects()[0].bytes >= 100_000 * size_of::<Shelf>());
    assert!(report.objects()[0].fully_traced);
}
