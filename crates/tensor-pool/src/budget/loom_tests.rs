//! Checks every interleaving of two threads with loom: `RUSTFLAGS="--cfg loom" cargo test --lib
//! --release loom_tests`.

use std::sync::Arc;

use loom::thread;

use super::account::{Account, reserve};
use super::{Budget, OverBudget};

/// Returns the accounts of a child and its parent.
fn chain(limits: [u64; 2]) -> Arc<[Account; 2]> {
    Arc::new(limits.map(Account::new))
}

#[test]
fn grants_exactly_one_of_two_conflicting_requests() {
    loom::model(|| {
        let parent = Arc::new(Account::new(3));
        let child = Arc::new(Account::new(9));
        let of_child = {
            let (parent, child) = (Arc::clone(&parent), Arc::clone(&child));
            thread::spawn(move || reserve([&*child, &*parent].into_iter(), 2))
        };
        let of_parent = reserve([&*parent].into_iter(), 2);
        assert!(parent.used() <= 3);
        let of_child = of_child.join().unwrap();
        assert!(of_child.is_ok() != of_parent.is_ok());
        assert_eq!(child.used(), if of_child.is_ok() { 2 } else { 0 });
        assert_eq!(parent.used(), 2);
    });
}

#[test]
fn stays_within_limits_while_bytes_are_released() {
    loom::model(|| {
        let accounts = chain([3, 4]);
        let other = {
            let accounts = Arc::clone(&accounts);
            thread::spawn(move || {
                if reserve(accounts.iter(), 2).is_ok() {
                    assert!(accounts[0].used() <= 3 && accounts[1].used() <= 4);
                    accounts.iter().for_each(|account| account.release(2));
                }
            })
        };
        if reserve(accounts[1..].iter(), 3).is_ok() {
            assert!(accounts[1].used() <= 4);
            accounts[1].release(3);
        }
        other.join().unwrap();
        assert_eq!(accounts.each_ref().map(Account::used), [0, 0]);
        assert!(accounts[0].peak() <= 3 && accounts[1].peak() <= 4);
    });
}

#[test]
fn ignores_pending_request_that_is_refused() {
    loom::model(|| {
        // Both requests fit the child, but only the smaller one fits the parent.
        let accounts = chain([10, 6]);
        let refused = {
            let accounts = Arc::clone(&accounts);
            thread::spawn(move || reserve(accounts.iter(), 7))
        };
        assert_eq!(reserve(accounts.iter(), 5), Ok(()));
        assert!(refused.join().unwrap().is_err());
        assert_eq!(accounts.each_ref().map(Account::used), [5, 5]);
    });
}

#[test]
fn grants_nothing_above_lowered_limit() {
    loom::model(|| {
        let accounts = chain([9, 2]);
        let taken = {
            let accounts = Arc::clone(&accounts);
            thread::spawn(move || reserve(accounts.iter(), 2))
        };
        accounts[1].set_limit(1);
        let used = accounts[1].used();
        let granted = taken.join().unwrap().is_ok();
        assert!(
            !granted || used == 2,
            "granted above the limit; {used} in use after it was lowered"
        );
    });
}

#[test]
fn grows_and_drops_during_concurrent_reserve() {
    let mut model = loom::model::Builder::new();
    // All interleavings would take a minute; nearly all of them differ only within the locks of the
    // list.
    model.preemption_bound = Some(3);
    model.check(|| {
        let parent = Budget::new("parent", Some(4));
        let child = parent.child("child", Some(3));
        let other = {
            let parent = parent.clone();
            thread::spawn(move || parent.reserve(2, "parent's").map(drop))
        };
        let work = || -> Result<(), OverBudget> {
            let mut own = child.reserve(1, "child's")?;
            own.grow(2)
        };
        let own = work();
        let other = other.join().unwrap();
        assert!(own.is_ok() || other.is_ok());
        assert!(parent.used_bytes() == 0 && child.used_bytes() == 0);
        assert!(parent.holders().is_empty());
        assert!(parent.peak_bytes() <= 4 && child.peak_bytes() <= 3);
    });
}
