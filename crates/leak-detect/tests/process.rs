//! Assertions on the heap of the whole process. A single test, so that nothing else allocates.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use leak_detect::{
    CountingAllocator, ReferenceCycleDetector, Trace, assert_no_growth, assert_peak, heap_source,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const MIB: usize = 1 << 20;

/// Returns the message of the panic of a failed assertion.
fn failure(assertion: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assertion)).expect_err("the assertion fails");
    *panic.downcast::<String>().expect("a formatted message")
}

#[test]
fn assertions_measure_the_process() {
    threads_that_end_are_no_growth();
    leak_in_a_worker_is_growth();
    few_leaked_bytes_are_growth();
    too_few_iterations_are_inconclusive();
    leaked_cycles_are_growth();
    bounded_work_of_other_threads_is_no_growth();
    cache_that_fills_meanwhile_is_no_growth();
    leak_beside_bounded_work_is_growth();
    peak_includes_all_threads();
    peaks_are_independent();
    assert_eq!(live_after_a_worker_freed_it(), 0);
}

fn threads_that_end_are_no_growth() {
    assert_no_growth!(10, 100, |_| thread::spawn(|| ()).join().unwrap());
    // Allocated by this thread and freed by another.
    assert_no_growth!(10, 100, |_| {
        let block = vec![1u8; MIB];
        thread::spawn(move || drop(block)).join().unwrap();
    });
}

fn leak_in_a_worker_is_growth() {
    let (sender, receiver) = mpsc::channel::<mpsc::Sender<()>>();
    let worker = thread::spawn(move || {
        let mut leaked = Vec::new();
        for done in receiver {
            leaked.push(vec![0u8; MIB]);
            done.send(()).unwrap();
        }
    });
    let message = failure(|| {
        assert_no_growth!(2, 20, |_| {
            let (done, is_done) = mpsc::channel();
            sender.send(done).unwrap();
            is_done.recv().unwrap();
        });
    });
    assert!(message.starts_with("live heap: growing: 1048"), "{message}");
    drop(sender);
    worker.join().unwrap();
}

fn few_leaked_bytes_are_growth() {
    let mut leaked = Vec::with_capacity(1000);
    let message = failure(|| assert_no_growth!(10, 100, |i| leaked.push(Box::new(i))));
    assert!(
        message.starts_with("live heap: growing: 4.0 bytes per iteration"),
        "{message}"
    );
}

fn too_few_iterations_are_inconclusive() {
    assert_eq!(
        failure(|| assert_no_growth!(1, 5, |_| ())),
        "live heap: inconclusive: 5 readings, at least 10 are required"
    );
}

fn leaked_cycles_are_growth() {
    #[derive(Trace, Default)]
    struct Node {
        next: Mutex<Option<Arc<Node>>>,
    }
    let detector = ReferenceCycleDetector::new();
    let leak = |_| {
        let node = Arc::<Node>::default();
        *node.next.lock().unwrap() = Some(Arc::clone(&node));
        detector.track_object(&node);
    };
    let message = failure(|| assert_no_growth!(2, 30, leak));
    assert!(message.starts_with("live heap: growing: "), "{message}");
    assert_no_growth!(2, 30, |_| {
        let node = Arc::<Node>::default();
        detector.track_object(&node);
    });
}

/// Runs `work` while two threads repeatedly allocate up to 8 MiB, one for up to 0.3 ms and the other for
/// up to 30 ms, and free it for up to the same time.
fn beside_bounded_work<R>(work: impl FnOnce() -> R) -> R {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for longest_us in [300, 30_000] {
            let stop = &stop;
            scope.spawn(move || {
                let mut random = longest_us;
                let mut next = move |bound: u64| {
                    random = random * 7919 % 100_003;
                    random % bound
                };
                while !stop.load(Ordering::Relaxed) {
                    let blocks: Vec<_> = (0..next(128)).map(|_| vec![1u8; 64 << 10]).collect();
                    thread::sleep(Duration::from_micros(next(longest_us)));
                    drop(blocks);
                    thread::sleep(Duration::from_micros(next(longest_us)));
                }
            });
        }
        let result = catch_unwind(AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn bounded_work_of_other_threads_is_no_growth() {
    beside_bounded_work(|| {
        // Long enough that other threads run between any two readings.
        for _ in 0..5 {
            assert_no_growth!(10, 100, |i| {
                let buffer = vec![0u8; i as usize % 1000];
                thread::sleep(Duration::from_micros(300));
                drop(buffer);
            });
        }
    });
}

fn leak_beside_bounded_work_is_growth() {
    let mut leaked = Vec::with_capacity(10_000);
    let message = beside_bounded_work(|| {
        failure(|| {
            assert_no_growth!(10, 100, |_| {
                leaked.push(vec![0u8; 64 << 10]);
                thread::sleep(Duration::from_micros(300));
            });
        })
    });
    assert!(!message.contains("clean"), "{message}");
}

fn cache_that_fills_meanwhile_is_no_growth() {
    let fills = thread::spawn(|| {
        let mut cache = Vec::new();
        for _ in 0..300 {
            cache.push(vec![1u8; 64 << 10]);
            thread::sleep(Duration::from_micros(200));
        }
        cache
    });
    // The first attempt takes about 30 ms of the 60 ms or more in which the cache grows by 19 MiB.
    assert_no_growth!(0, 100, |_| thread::sleep(Duration::from_micros(200)));
    fills.join().unwrap();
}

fn peak_includes_all_threads() {
    let use_one = || {
        thread::spawn(|| vec![1u8; MIB].len()).join().unwrap();
    };
    assert_peak!(MIB as u64 + 16_384, use_one);
    let message = failure(|| assert_peak!(MIB as u64 - 1, use_one));
    assert!(message.starts_with("peak heap use was 10"), "{message}");
}

fn peaks_are_independent() {
    assert_peak!(6000, || {
        drop(vec![1u8; 5000]);
        assert_peak!(100, || drop(vec![1u8; 100]));
    });
    let message = failure(|| {
        assert_peak!(4999, || {
            drop(vec![1u8; 5000]);
            assert_peak!(100, || drop(vec![1u8; 100]));
        });
    });
    assert_eq!(
        message,
        "peak heap use was 5000 bytes, 1 above the limit of 4999"
    );
}

fn live_after_a_worker_freed_it() -> u64 {
    let live = heap_source().unwrap().live_bytes;
    let before = live();
    let block = thread::spawn(|| vec![0u8; MIB]).join().unwrap();
    assert!(live() - before >= MIB as u64);
    thread::spawn(move || drop(block)).join().unwrap();
    live() - before
}
