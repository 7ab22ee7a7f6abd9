//! Budgets, reservations and reclaimers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tensor_pool::{Budget, Holder, OverBudget, ReclaimerHandle, Reservation};

/// Returns the holders as pairs of name and bytes.
fn pairs(holders: &[Holder]) -> Vec<(String, u64)> {
    holders
        .iter()
        .map(|holder| (holder.what.to_string(), holder.bytes))
        .collect()
}

#[test]
fn handles_can_be_used_from_any_thread() {
    fn shared<T: Send + Sync>() {}
    shared::<Budget>();
    shared::<Reservation>();
    shared::<ReclaimerHandle>();
    shared::<OverBudget>();
}

#[test]
fn refusal_names_the_exceeded_budget_and_its_holders() {
    let root = Budget::new("process", Some(64 << 20));
    let child = root.child("request", Some(32 << 20));
    let _weights = root.reserve(40 << 20, "weights").unwrap();
    let _pages = [3, 4].map(|n| child.reserve(n << 20, "page").unwrap());
    let _voice = root.reserve(2 << 20, "voice").unwrap();
    let _text = root.reserve(1 << 20, "text").unwrap();

    let of_root = child.reserve(20 << 20, "audio").unwrap_err();
    assert_eq!(
        (of_root.budget.as_str(), of_root.limit_bytes),
        ("process", 64 << 20)
    );
    assert_eq!(
        (of_root.what.as_str(), of_root.requested_bytes),
        ("audio", 20 << 20)
    );
    assert_eq!(of_root.available_bytes, 14 << 20);
    assert_eq!(of_root.shortfall_bytes, 6 << 20);
    assert_eq!(
        of_root.to_string(),
        "cannot reserve 20.0 MiB for audio: 14.0 MiB of 64.0 MiB available in budget `process` (in use: \
         weights 40.0 MiB, page 7.0 MiB in 2, voice 2.0 MiB and 1 more); release reservations, reserve \
         less or raise the limit"
    );

    let of_child = child.reserve(26 << 20, "audio").unwrap_err();
    assert_eq!(
        (of_child.budget.as_str(), of_child.available_bytes),
        ("request", 25 << 20)
    );
    assert_eq!(pairs(&of_child.holders), [("page".to_owned(), 7 << 20)]);
    assert_eq!(of_child.holders[0].reservations, 2);

    let empty = Budget::new("empty", Some(1)).reserve(2, "x");
    assert_eq!(
        empty.unwrap_err().to_string(),
        "cannot reserve 2 B for x: 1 B of 1 B available in budget `empty`; release reservations, \
         reserve less or raise the limit"
    );
}

#[test]
fn reservation_is_released_on_another_thread_and_after_its_budget() {
    let root = Budget::new("root", Some(10));
    let reservation = root.child("child", Some(10)).reserve(7, "x").unwrap();
    assert_eq!(root.used_bytes(), 7);
    std::thread::spawn(move || drop(reservation))
        .join()
        .unwrap();
    assert_eq!((root.used_bytes(), root.peak_bytes()), (0, 7));
}

#[test]
fn refused_growth_changes_nothing() {
    let budget = Budget::new("root", Some(10));
    let mut reservation = budget.reserve(6, "x").unwrap();
    assert_eq!(reservation.grow(5).unwrap_err().requested_bytes, 5);
    assert_eq!((reservation.bytes(), budget.used_bytes()), (6, 6));
    reservation.grow(4).unwrap();
    reservation.shrink(100);
    assert_eq!((reservation.bytes(), budget.used_bytes()), (0, 0));
}

#[test]
fn limit_below_use_releases_nothing_and_refuses_reservations() {
    let root = Budget::new("root", Some(10));
    let child = root.child("child", None);
    let mut reservation = child.reserve(8, "x").unwrap();
    root.set_limit(Some(5));
    assert!(root.is_over() && !child.is_over());
    assert_eq!(
        (
            root.used_bytes(),
            root.available_bytes(),
            child.available_bytes()
        ),
        (8, Some(0), Some(0))
    );
    assert!(child.reserve(1, "y").is_err());
    assert_eq!(reservation.grow(1).unwrap_err().shortfall_bytes, 4);
    assert!(child.reserve(0, "nothing").is_ok());
    reservation.shrink(4);
    assert!(!root.is_over());
    reservation.grow(1).unwrap();
    assert!(reservation.grow(1).is_err());
}

#[test]
fn huge_amounts_are_refused_without_overflow() {
    const LARGEST: u64 = (1 << 48) - 1;
    let budget = Budget::new("endless", None);
    let mut reservation = budget.reserve(LARGEST, "all there is").unwrap();
    let refused = reservation.grow(1).unwrap_err();
    assert_eq!((refused.limit_bytes, refused.shortfall_bytes), (LARGEST, 1));
    assert!(budget.reserve(u64::MAX, "more").is_err());
    assert_eq!(budget.used_bytes(), LARGEST);
}

#[test]
fn budget_without_limit_counts_and_refuses_nothing() {
    let root = Budget::new("process", None);
    let child = root.child("request", None);
    let _reservation = child.reserve(1 << 40, "x").unwrap();
    assert_eq!((root.used_bytes(), root.limit_bytes()), (1 << 40, None));
    assert_eq!(
        (root.available_bytes(), child.available_bytes()),
        (None, None)
    );
    assert!(!root.is_over());

    // A limit of any budget of the chain applies.
    root.set_limit(Some(3 << 40));
    assert_eq!(child.available_bytes(), Some(2 << 40));
    root.set_limit(None);
    assert_eq!(child.available_bytes(), None);
}

#[test]
fn resize_sets_the_reserved_bytes() {
    let budget = Budget::new("root", Some(10));
    let mut reservation = budget.reserve(6, "x").unwrap();
    reservation.resize(10).unwrap();
    assert_eq!(reservation.resize(13).unwrap_err().shortfall_bytes, 3);
    assert_eq!((reservation.bytes(), budget.used_bytes()), (10, 10));
    reservation.resize(2).unwrap();
    assert_eq!((reservation.bytes(), budget.used_bytes()), (2, 2));
}

#[test]
fn debug_output_is_finite() {
    let root = Budget::new("root", Some(10));
    let reservation = root.child("child", Some(9)).reserve(1, "x").unwrap();
    assert!(format!("{root:?} {reservation:?}").contains("child"));
}

/// Adds a reclaimer that logs its priority and the missing bytes, and drops one reservation.
fn freeing(
    budget: &Budget,
    priority: i32,
    log: &Arc<Mutex<Vec<(i32, u64)>>>,
    reservation: Reservation,
) -> ReclaimerHandle {
    let log = Arc::clone(log);
    let slot = Mutex::new(Some(reservation));
    budget.add_reclaimer(priority, move |missing| {
        log.lock().unwrap().push((priority, missing));
        slot.lock().unwrap().take();
    })
}

#[test]
fn reclaimers_run_by_priority_until_the_reservation_fits() {
    let budget = Budget::new("root", Some(100));
    let log = Arc::new(Mutex::new(Vec::new()));
    let _handles: Vec<_> = [(2, 30), (-1, 20), (1, 40)]
        .map(|(priority, bytes)| {
            let reservation = budget.reserve(bytes, "cache").unwrap();
            freeing(&budget, priority, &log, reservation)
        })
        .into();
    let _reservation = budget.reserve(50, "x").unwrap();
    assert_eq!(*log.lock().unwrap(), [(-1, 40), (1, 20)]);
    assert_eq!(budget.used_bytes(), 80);
}

#[test]
fn reclaimers_also_free_the_bytes_above_the_limit() {
    let budget = Budget::new("root", Some(100));
    let log = Arc::new(Mutex::new(Vec::new()));
    let cached = budget.reserve(90, "cache").unwrap();
    let _handle = freeing(&budget, 0, &log, cached);
    budget.set_limit(Some(60));
    let _reservation = budget.reserve(10, "x").unwrap();
    assert_eq!(*log.lock().unwrap(), [(0, 40)]);
}

#[test]
fn only_exceeded_budgets_of_the_chain_call_their_reclaimers() {
    let root = Budget::new("root", Some(100));
    let child = root.child("child", Some(50));
    let sibling = root.child("sibling", Some(100));
    let log = Arc::new(Mutex::new(Vec::new()));
    let cache = |budget: &Budget, bytes| budget.reserve(bytes, "cache").unwrap();
    let _of_root = freeing(&root, 0, &log, cache(&root, 30));
    let _of_child = freeing(&child, 1, &log, cache(&child, 20));
    let _of_sibling = freeing(&sibling, 2, &log, cache(&sibling, 40));

    // The root has 10 bytes left, the child 30.
    let first = child.reserve(25, "x").unwrap();
    assert_eq!(*log.lock().unwrap(), [(0, 15)]);
    // Both have too few bytes: 5 and 15. The child's cache is enough for both.
    let _second = child.reserve(20, "x").unwrap();
    assert_eq!(*log.lock().unwrap(), [(0, 15), (1, 15)]);
    drop(first);
}

#[test]
fn reclaimers_do_not_run_for_requests_above_the_limit() {
    let root = Budget::new("root", Some(100));
    let child = root.child("child", Some(50));
    let log = Arc::new(Mutex::new(Vec::new()));
    let _handle = freeing(&root, 0, &log, root.reserve(90, "cache").unwrap());
    assert!(root.reserve(101, "x").is_err());
    assert!(child.reserve(51, "x").is_err());
    assert!(log.lock().unwrap().is_empty());
}

#[test]
fn refusal_by_the_own_limit_leaves_the_caches_of_ancestors_alone() {
    let root = Budget::new("root", Some(100));
    let context = root.child("context", Some(60));
    let request = context.child("request", Some(50));
    let log = Arc::new(Mutex::new(Vec::new()));
    let cache = |budget: &Budget, bytes| budget.reserve(bytes, "cache").unwrap();
    let _of_root = freeing(&root, 0, &log, cache(&root, 50));
    let _of_request = freeing(&request, 1, &log, cache(&request, 10));
    let mut state = request.reserve(35, "state").unwrap();

    // The request has 5 bytes left and a cache of 10, the root has 5 left and a cache of 50. Even
    // with both caches released, the request cannot hold 35 + 20 bytes.
    let refused = state.grow(20).unwrap_err();
    assert_eq!(
        (refused.budget.as_str(), refused.shortfall_bytes),
        ("request", 5)
    );
    assert_eq!(*log.lock().unwrap(), [(1, 15)]);
    assert_eq!(root.used_bytes(), 85);

    // The budget between the two has no reclaimer.
    let sibling = context.child("sibling", None);
    assert_eq!(sibling.reserve(30, "x").unwrap_err().budget, "context");
    assert_eq!(*log.lock().unwrap(), [(1, 15)]);
    // A reservation that fits both runs the root's reclaimer.
    let _x = sibling.reserve(20, "x").unwrap();
    assert_eq!(*log.lock().unwrap(), [(1, 15), (0, 5)]);
}

/// Two threads are inside the same reclaimer at the same time, and both reservations succeed.
#[test]
fn two_threads_reclaim_at_the_same_time() {
    let budget = Budget::new("root", Some(100));
    let cache = Arc::new(Mutex::new(vec![
        budget.reserve(45, "cache").unwrap(),
        budget.reserve(45, "cache").unwrap(),
    ]));
    let both = Arc::new(std::sync::Barrier::new(2));
    let _handle = {
        let cache = Arc::clone(&cache);
        budget.add_reclaimer(0, move |_| {
            both.wait();
            let evicted = cache.lock().unwrap().pop();
            drop(evicted);
        })
    };
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| budget.reserve(50, "x")));
        let reservations = threads.map(|thread| thread.join().unwrap().unwrap());
        assert_eq!(
            budget.used_bytes(),
            reservations.iter().map(Reservation::bytes).sum::<u64>()
        );
    });
}

#[test]
fn reclaimer_can_add_and_remove_reclaimers() {
    let budget = Budget::new("root", Some(100));
    let cached = Mutex::new(Some(budget.reserve(90, "cache").unwrap()));
    let handles = Arc::new(Mutex::new(Vec::new()));
    let own = {
        let (budget, handles) = (budget.clone(), Arc::clone(&handles));
        budget.clone().add_reclaimer(0, move |_| {
            // Removes itself, and adds a reclaimer that does nothing and one that runs later.
            let removed = std::mem::take(&mut *handles.lock().unwrap());
            assert_eq!(removed.len(), 1);
            drop(removed);
            cached.lock().unwrap().take();
            let added = budget.add_reclaimer(-1, |_| ());
            handles.lock().unwrap().push(added);
        })
    };
    handles.lock().unwrap().push(own);
    let _reservation = budget.reserve(80, "x").unwrap();
    // The first reclaimer is gone: it would fail at its second call.
    assert!(budget.reserve(30, "y").is_err());
    assert_eq!(handles.lock().unwrap().len(), 1);
}

#[test]
fn reclaimers_run_again_if_the_released_bytes_were_reserved_since() {
    let root = Budget::new("root", Some(100));
    let child = root.child("child", Some(50));
    let of_child = Mutex::new(vec![
        child.reserve(20, "cache").unwrap(),
        child.reserve(20, "cache").unwrap(),
    ]);
    let _of_child = child.add_reclaimer(0, move |_| drop(of_child.lock().unwrap().pop()));
    let of_root = Mutex::new(Some(root.reserve(60, "cache").unwrap()));
    let _of_root = {
        let child = child.clone();
        root.add_reclaimer(0, move |_| {
            // Stands for another thread that reserves what the child's reclaimer has released.
            *of_root.lock().unwrap() = Some(child.reserve(10, "other").unwrap());
        })
    };
    let _reservation = child.reserve(25, "x").unwrap();
    assert_eq!((root.used_bytes(), child.used_bytes()), (35, 35));
}

#[test]
fn reclaimer_can_reserve_without_recursion() {
    let budget = Budget::new("root", Some(100));
    let calls = Arc::new(AtomicUsize::new(0));
    let cached = Arc::new(Mutex::new(Some(budget.reserve(90, "cache").unwrap())));
    let _handle = {
        let (budget, calls, cached) = (budget.clone(), Arc::clone(&calls), Arc::clone(&cached));
        budget.clone().add_reclaimer(0, move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            assert!(budget.reserve(15, "scratch").is_err());
            cached.lock().unwrap().take();
            assert!(budget.reserve(15, "scratch").is_ok());
            *cached.lock().unwrap() = Some(budget.reserve(10, "less cache").unwrap());
        })
    };
    let mut reservation = budget.reserve(80, "x").unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    // The reclaimer runs again after its first call has ended.
    assert!(reservation.grow(15).is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn dropping_the_handle_removes_the_reclaimer() {
    let budget = Budget::new("root", Some(10));
    let alive = Arc::new(());
    let handle = {
        let alive = Arc::clone(&alive);
        budget.add_reclaimer(0, move |_| panic!("called after removal: {alive:?}"))
    };
    drop(handle);
    assert_eq!(Arc::strong_count(&alive), 1);
    let _reservation = budget.reserve(10, "x").unwrap();
    assert!(budget.reserve(1, "y").is_err());
}

#[test]
fn panicking_reclaimer_leaves_the_budget_unchanged() {
    let budget = Budget::new("root", Some(10));
    let handle = budget.add_reclaimer(0, |_| panic!("on purpose"));
    let reservation = budget.reserve(8, "x").unwrap();
    let panicked = {
        let budget = budget.clone();
        std::thread::spawn(move || budget.reserve(3, "y").is_ok()).join()
    };
    assert!(panicked.is_err());
    assert_eq!(budget.used_bytes(), 8);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        budget.reserve(3, "y").is_ok()
    }));
    assert!(result.is_err());
    // Other reclaimers still run on this thread after the panic.
    drop(handle);
    let slot = Mutex::new(Some(reservation));
    let _handle = budget.add_reclaimer(0, move |_| drop(slot.lock().unwrap().take()));
    assert!(budget.reserve(3, "y").is_ok());
}

/// Two threads per child of one root make random reservations. Separate counters track the reserved
/// bytes while each reservation is alive.
#[test]
fn concurrent_reservations_never_exceed_a_limit() {
    const LIMITS: [u64; 3] = [100, 70, 60];
    let root = Budget::new("root", Some(LIMITS[0]));
    let budgets = [
        root.clone(),
        root.child("a", Some(LIMITS[1])),
        root.child("b", Some(LIMITS[2])),
    ];
    let reserved: [AtomicU64; 3] = Default::default();
    let granted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (budgets, reserved, granted) = (&budgets, &reserved, &granted);
            scope.spawn(move || {
                let child = 1 + thread as usize % 2;
                let mut random = thread;
                for _ in 0..2_000 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let bytes = random >> 58;
                    let Ok(mut reservation) = budgets[child].reserve(bytes, "x") else {
                        continue;
                    };
                    let bytes = match reservation.grow(bytes / 2) {
                        Ok(()) => bytes + bytes / 2,
                        Err(_) => bytes,
                    };
                    granted.fetch_add(1, Ordering::Relaxed);
                    for i in [0, child] {
                        let sum = reserved[i].fetch_add(bytes, Ordering::SeqCst) + bytes;
                        assert!(sum <= LIMITS[i], "{sum} in {i}");
                    }
                    std::thread::yield_now();
                    for i in [0, child] {
                        reserved[i].fetch_sub(bytes, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(granted.into_inner() > 0);
    for (budget, limit) in budgets.iter().zip(LIMITS) {
        assert_eq!((budget.used_bytes(), budget.is_over()), (0, false));
        assert!(budget.peak_bytes() <= limit);
    }
    assert!(root.holders().is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Reserve {
        budget: usize,
        bytes: u64,
        name: usize,
    },
    Grow {
        reservation: usize,
        bytes: u64,
    },
    Shrink {
        reservation: usize,
        bytes: u64,
    },
    Drop {
        reservation: usize,
    },
    SetLimit {
        budget: usize,
        limit: Option<u64>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..PARENTS.len(), 0..40_u64, 0..NAMES.len())
            .prop_map(|(budget, bytes, name)| Step::Reserve { budget, bytes, name }),
        2 => (0..64_usize, 0..30_u64)
            .prop_map(|(reservation, bytes)| Step::Grow { reservation, bytes }),
        2 => (0..64_usize, 0..50_u64)
            .prop_map(|(reservation, bytes)| Step::Shrink { reservation, bytes }),
        2 => (0..64_usize).prop_map(|reservation| Step::Drop { reservation }),
        1 => (0..PARENTS.len(), prop::option::of(0..150_u64))
            .prop_map(|(budget, limit)| Step::SetLimit { budget, limit }),
    ];
    prop::collection::vec(step, 0..80)
}

/// A root, two children, and a child of the first child.
const PARENTS: [Option<usize>; 4] = [None, Some(0), Some(0), Some(1)];
const NAMES: [&str; 3] = ["one", "two", "three"];

/// The reference model: a list of all reservations.
struct Model {
    limits: [Option<u64>; PARENTS.len()],
    peaks: [u64; PARENTS.len()],
    /// Budget, name, bytes.
    entries: Vec<(usize, usize, u64)>,
}

impl Model {
    fn chain(budget: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(budget), |&budget| PARENTS[budget])
    }

    fn used(&self, budget: usize) -> u64 {
        let below = |&&(other, _, _): &&(usize, usize, u64)| {
            Self::chain(other).any(|above| above == budget)
        };
        self.entries.iter().filter(below).map(|entry| entry.2).sum()
    }

    /// Returns the bytes left, or `None` if the budget has no limit.
    fn left(&self, budget: usize) -> Option<u64> {
        let limit = self.limits[budget]?;
        Some(limit.saturating_sub(self.used(budget)))
    }

    /// Returns the first budget of the chain that has too few bytes left.
    fn short(&self, budget: usize, bytes: u64) -> Option<usize> {
        Self::chain(budget).find(|&budget| self.left(budget).is_some_and(|left| bytes > left))
    }

    fn note_peaks(&mut self) {
        for budget in 0..PARENTS.len() {
            self.peaks[budget] = self.peaks[budget].max(self.used(budget));
        }
    }

    fn holders(&self, budget: usize) -> Vec<(String, u64)> {
        let mut holders: Vec<(String, u64)> = Vec::new();
        for (name, what) in NAMES.iter().enumerate() {
            let mut of_name = self
                .entries
                .iter()
                .filter(|entry| entry.1 == name)
                .filter(|entry| Self::chain(entry.0).any(|above| above == budget))
                .peekable();
            if of_name.peek().is_some() {
                holders.push(((*what).to_owned(), of_name.map(|entry| entry.2).sum()));
            }
        }
        holders.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        holders
    }
}

proptest! {
    #[test]
    fn budget_tree_equals_the_reference_model(steps in steps()) {
        let root = Budget::new("0", Some(100));
        let child = root.child("1", Some(80));
        let budgets = [
            root.clone(),
            child.clone(),
            root.child("2", None),
            child.child("3", Some(50)),
        ];
        let mut model = Model { limits: [Some(100), Some(80), None, Some(50)], peaks: [0; 4], entries: Vec::new() };
        let mut reservations: Vec<Reservation> = Vec::new();
        for step in steps {
            match step {
                Step::Reserve { budget, bytes, name } => {
                    match (budgets[budget].reserve(bytes, NAMES[name]), model.short(budget, bytes)) {
                        (Ok(reservation), None) => {
                            reservations.push(reservation);
                            model.entries.push((budget, name, bytes));
                        }
                        (Err(error), Some(short)) => {
                            prop_assert_eq!(error.budget.as_str(), short.to_string());
                            prop_assert_eq!(Some(error.available_bytes), model.left(short));
                            let limit = model.limits[short].unwrap();
                            let shortfall = model.used(short) + bytes - limit;
                            prop_assert_eq!(error.shortfall_bytes, shortfall);
                            prop_assert_eq!(pairs(&error.holders), model.holders(short));
                        }
                        (result, short) => prop_assert!(false, "{result:?}, model: {short:?}"),
                    }
                }
                Step::Grow { reservation, bytes } if !reservations.is_empty() => {
                    let i = reservation % reservations.len();
                    let fits = model.short(model.entries[i].0, bytes).is_none();
                    prop_assert_eq!(reservations[i].grow(bytes).is_ok(), fits);
                    if fits {
                        model.entries[i].2 += bytes;
                    }
                }
                Step::Shrink { reservation, bytes } if !reservations.is_empty() => {
                    let i = reservation % reservations.len();
                    reservations[i].shrink(bytes);
                    model.entries[i].2 = model.entries[i].2.saturating_sub(bytes);
                }
                Step::Drop { reservation } if !reservations.is_empty() => {
                    let i = reservation % reservations.len();
                    drop(reservations.swap_remove(i));
                    model.entries.swap_remove(i);
                }
                Step::SetLimit { budget, limit } => {
                    budgets[budget].set_limit(limit);
                    model.limits[budget] = limit;
                }
                _ => {}
            }
            model.note_peaks();
            for (reservation, &(_, name, bytes)) in reservations.iter().zip(&model.entries) {
                prop_assert_eq!((reservation.what(), reservation.bytes()), (NAMES[name], bytes));
            }
            for (i, budget) in budgets.iter().enumerate() {
                let left = Model::chain(i).filter_map(|i| model.left(i)).min();
                prop_assert_eq!(budget.used_bytes(), model.used(i));
                prop_assert_eq!(budget.available_bytes(), left);
                let over = model.limits[i].is_some_and(|limit| model.used(i) > limit);
                prop_assert_eq!(budget.is_over(), over);
                prop_assert_eq!(budget.limit_bytes(), model.limits[i]);
                prop_assert_eq!(budget.peak_bytes(), model.peaks[i]);
                prop_assert_eq!(pairs(&budget.holders()), model.holders(i));
            }
        }
        drop(reservations);
        for budget in &budgets {
            prop_assert_eq!(budget.used_bytes(), 0);
            prop_assert!(budget.holders().is_empty());
        }
    }
}
