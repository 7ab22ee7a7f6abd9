//! Detections while other threads move handles. Runs for a few seconds; `LEAK_DETECT_STRESS_SECONDS` sets
//! another duration (60 for a full run).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use leak_detect::{ObjectStatus, ReferenceCycleDetector, Trace};

/// About ten thousand detections on two cores.
const DEFAULT_SECONDS: u64 = 3;

static DETECTOR: ReferenceCycleDetector = ReferenceCycleDetector::new();
static DROPPED: AtomicUsize = AtomicUsize::new(0);

#[derive(Trace, Default)]
struct Node {
    next: RwLock<Option<Arc<Node>>>,
    extra: Mutex<Vec<Arc<Node>>>,
    weak: Mutex<Weak<Node>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Destructors run on the program's threads, and inside a detection if it is the last owner.
        let dropped = DROPPED.fetch_add(1, Ordering::Relaxed);
        if dropped.is_multiple_of(64) {
            DETECTOR.get_tracked_count();
        }
        if dropped.is_multiple_of(1024) {
            check();
        }
    }
}

/// Returns a ring in which each node points to the one tracked before it, so that walks run against the
/// detector's order.
fn ring(count: usize) -> Vec<Arc<Node>> {
    let nodes: Vec<Arc<Node>> = (0..count).map(|_| Arc::default()).collect();
    for (i, node) in nodes.iter().enumerate() {
        let next = &nodes[(i + count - 1) % count];
        *node.next.write().unwrap() = Some(Arc::clone(next));
        *node.weak.lock().unwrap() = Arc::downgrade(next);
        DETECTOR.track_object(node);
    }
    nodes
}

/// The intentionally leaked ring.
static LEAKED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Runs a detection and returns the number of objects found in the leaked ring. Fails on false reports.
fn check() -> usize {
    let leaked = LEAKED.lock().unwrap().clone();
    let report = DETECTOR.report();
    for object in report.objects() {
        if object.status == ObjectStatus::InLeakedCycle
            || object.status == ObjectStatus::OwnedByLeakedCycle
        {
            assert!(
                leaked.contains(&object.address),
                "a live object was reported:\n{report}\n{object:?}"
            );
        }
    }
    report.objects_in_cycles()
}

/// Moves along a ring while always owning some node.
fn walk(token: &mut Arc<Node>) {
    let next = token.next.read().unwrap().clone();
    *token = next.expect("a ring");
}

/// Moves along a ring through weak references.
fn walk_weakly(token: &mut Arc<Node>) {
    let next = token.weak.lock().unwrap().upgrade();
    *token = next.expect("a living ring");
}

/// Stores a handle in the next node and removes it, then the other way around. A pass that counts the
/// first node while the handle is stored and the other while it is not misses one owner of each.
fn hide_alternately(token: &mut Arc<Node>) {
    let other = token.next.read().unwrap().clone().expect("a ring");
    other.extra.lock().unwrap().push(Arc::clone(token));
    drop(std::mem::replace(token, Arc::clone(&other)));
    let back = other.extra.lock().unwrap().pop().expect("stored above");
    back.extra.lock().unwrap().push(other);
    *token = back;
    let taken = token.extra.lock().unwrap().pop();
    drop(taken);
}

/// Creates a ring and takes it apart while owning it.
fn churn() {
    let nodes = ring(3);
    for node in &nodes {
        let next = node.next.write().unwrap().take();
        drop(next);
    }
}

/// Stops the workers even if an assertion fails, since the scope waits for them.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn live_objects_are_not_reported_while_handles_move() {
    let seconds = match std::env::var("LEAK_DETECT_STRESS_SECONDS") {
        Ok(seconds) => seconds
            .parse()
            .expect("LEAK_DETECT_STRESS_SECONDS is a number of seconds"),
        Err(_) => DEFAULT_SECONDS,
    };
    let leaked = ring(7);
    *LEAKED.lock().unwrap() = leaked.iter().map(|node| Arc::as_ptr(node).addr()).collect();
    let entry = Arc::downgrade(&leaked[0]);
    drop(leaked);

    let stop = AtomicBool::new(false);
    let (mut detections, mut complete) = (0u64, 0u64);
    thread::scope(|scope| {
        for worker in 0..2 {
            let stop = &stop;
            scope.spawn(move || {
                let mut tokens: Vec<Arc<Node>> =
                    [2, 3, 48].map(|count| ring(count).swap_remove(0)).into();
                let mut round = worker;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..50 {
                        for token in &mut tokens {
                            match round % 3 {
                                0 => walk(token),
                                1 => walk_weakly(token),
                                _ => hide_alternately(token),
                            }
                        }
                    }
                    round += 1;
                    churn();
                }
                for token in tokens {
                    let next = token.next.write().unwrap().take();
                    drop(next);
                }
            });
        }
        let _stop = StopAtEnd(&stop);
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            let found = check();
            assert!(found == 0 || found == 7, "{found} of 7");
            detections += 1;
            complete += u64::from(found == 7);
        }
    });
    println!("{detections} detections, {complete} found the leaked ring");
    assert!(complete > 0, "the leaked ring was never found");
    assert_eq!(check(), 7, "without concurrent changes");

    let node = entry.upgrade().expect("the leaked ring");
    let next = node.next.write().unwrap().take();
    drop((node, next));
    assert_eq!(DETECTOR.get_tracked_count(), 0);
}
