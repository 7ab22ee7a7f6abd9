//! Detections while other threads move handles. Runs for a few seconds;
//! `LEAK_DETECT_STRESS_SECONDS` sets another length (60 in a full run).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use leak_detect::{ObjectStatus, ReferenceCycleDetector, Trace};

/// Long enough on two cores for some ten thousand detections.
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
        // Destructors run on the threads of the program and, where a detection was the last owner,
        // inside it.
        let dropped = DROPPED.fetch_add(1, Ordering::Relaxed);
        if dropped.is_multiple_of(64) {
            DETECTOR.get_tracked_count();
        }
        if dropped.is_multiple_of(1024) {
            check();
        }
    }
}

/// Each node points to the one tracked before it: whoever walks along meets the detector, which
/// reads the other way.
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

/// The ring that is leaked on purpose.
static LEAKED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Detects, and returns how many of the leaked ring were found. Anything else found is a false
/// report.
fn check() -> usize {
    let leaked = LEAKED.lock().unwrap().clone();
    let report = DETECTOR.report();
    for object in report.objects() {
        if object.status == ObjectStatus::InLeakedCycle
            || object.status == ObjectStatus::OwnedByLeakedCycle
        {
            assert!(
                leaked.contains(&object.address),
                "a living object was reported:\n{report}\n{object:?}"
            );
        }
    }
    report.objects_in_cycles()
}

/// Walks around a ring of which it always owns some node.
fn walk(token: &mut Arc<Node>) {
    let next = token.next.read().unwrap().clone();
    *token = next.expect("a ring");
}

/// The same through weak references.
fn walk_weakly(token: &mut Arc<Node>) {
    let next = token.weak.lock().unwrap().upgrade();
    *token = next.expect("a living ring");
}

/// Puts a handle into the next node and takes it out, then the other way around: whoever counts the
/// first node while it is in and the other one while it is out finds an owner too few for each.
fn hide_alternately(token: &mut Arc<Node>) {
    let other = token.next.read().unwrap().clone().expect("a ring");
    other.extra.lock().unwrap().push(Arc::clone(token));
    drop(std::mem::replace(token, Arc::clone(&other)));
    let back = other.extra.lock().unwrap().pop().expect("put there above");
    back.extra.lock().unwrap().push(other);
    *token = back;
    let taken = token.extra.lock().unwrap().pop();
    drop(taken);
}

/// Makes a ring and takes it apart again, without ever letting go of it.
fn churn() {
    let nodes = ring(3);
    for node in &nodes {
        let next = node.next.write().unwrap().take();
        drop(next);
    }
}

/// Stops the workers, also when an assertion fails: the scope waits for them.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nothing_alive_is_reported_while_handles_move() {
    let seconds = match std::env::var("LEAK_DETECT_STRESS_SECONDS") {
        Ok(seconds) => seconds
            .parse()
            .expect("LEAK_DETECT_STRESS_SECONDS is a number of seconds"),
        Err(_) => DEFAULT_SECONDS,
    };
    let leaked = ring(7);
    *LEAKED.lock().unwrap() = leaked.iter().map(|node| Arc::as_ptr(node).addr()).collect();
    let way_in = Arc::downgrade(&leaked[0]);
    drop(leaked);

    let stop = AtomicBool::new(false);
    let (mut detections, mut complete) = (0u64, 0u64);
    thread::scope(|scope| {
        for worker in 0..2 {
            let stop = &stop;
            scope.spawn(move || {
                let mut tokens: Vec<Arc<Node>> =
                    [2, 3, 48].map(|count| ring(count).swap_remove(0)).into();
                let mut step = worker;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..50 {
                        for token in &mut tokens {
                            match step % 3 {
                                0 => walk(token),
                                1 => walk_weakly(token),
                                _ => hide_alternately(token),
                            }
                        }
                    }
                    step += 1;
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
    println!("{detections} detections, of which {complete} found the leaked ring");
    assert!(complete > 0, "the leaked ring was never found");
    assert_eq!(check(), 7, "with nothing moving");

    let node = way_in.upgrade().expect("the leaked ring");
    let next = node.next.write().unwrap().take();
    drop((node, next));
    assert_eq!(DETECTOR.get_tracked_count(), 0);
}
