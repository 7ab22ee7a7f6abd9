//! Every interleaving of two threads, as loom sees it. `RUSTFLAGS="--cfg loom" cargo test --lib
//! --release loom_tests`.

use std::sync::Arc;

use loom::thread;

use super::account::{Account, take};
use super::{Budget, OverBudget};

/// A child and its parent.
fn chain(limits: [u64; 2]) -> Arc<[Account; 2]> {
    Arc::new(limits.map(Account::new))
}

#[test]
fn of_two_that_do_not_fit_together_one_is_granted() {
    loom::model(|| {
        let parent = Arc::new(Account::new(3));
        let child = Arc::new(Account::new(9));
        let of_child = {
            let (parent, child) = (Arc::clone(&parent), Arc::clone(&child));
            thread::spawn(move || take([&*child, &*parent].into_iter(), 2))
        };
        let of_parent = take([&*parent].into_iter(), 2);
        assert!(parent.used_bytes() <= 3);
        let of_child = of_child.join().unwrap();
        assert!(of_child.is_ok() != of_parent.is_ok());
        assert_eq!(child.used_bytes(), if of_child.is_ok() { 2 } else { 0 });
        assert_eq!(parent.used_bytes(), 2);
    });
}

#[test]
fn nothing_is_lost_and_nothing_is_over_when_bytes_are_given_back() {
    loom::model(|| {
        let accounts = chain([3, 4]);
        let other = {
            let accounts = Arc::clone(&accounts);
            thread::spawn(move || {
                if take(accounts.iter(), 2).is_ok() {
                    assert!(accounts[0].used_bytes() <= 3 && accounts[1].used_bytes() <= 4);
                    accounts.iter().for_each(|account| account.give_back(2));
                }
            })
        };
        if take(accounts[1..].iter(), 3).is_ok() {
            assert!(accounts[1].used_bytes() <= 4);
            accounts[1].give_back(3);
        }
        other.join().unwrap();
        assert_eq!(accounts.each_ref().map(Account::used), [0, 0]);
        assert!(accounts[0].peak_bytes() <= 3 && accounts[1].peak_bytes() <= 4);
    });
}

#[test]
fn a_request_that_is_refused_refuses_no_other() {
    loom::model(|| {
        // The child has room for either, the parent only for the smaller.
        let accounts = chain([10, 6]);
        let refused = {
            let accounts = Arc::clone(&accounts);
            thread::spawn(move || take(accounts.iter(), 7))
        };
        assert_eq!(take(accounts.iter(), 5), Ok(()));
        assert!(refused.join().unwrap().is_err());
        assert_eq!(accounts.each_ref().map(Account::used), [5, 5]);
    });
}

#[test]
fn nothing_is_granted_above_a_limit_that_was_lowered_before() {
    loom::model(|| {
        let accounts = chain([9, 2]);
        let taken = {
            let accounts = Arc::clone(&accounts);
            thread::spawn(move || take(accounts.iter(), 2))
        };
        accounts[1].set_limit(1);
        let used = accounts[1].used_bytes();
        let granted = taken.join().unwrap().is_ok();
        assert!(!granted || used == 2, "granted after {used} was in use");
    });
}

#[test]
fn budgets_grow_and_drop_while_others_reserve() {
    let mut model = loom::model::Builder::new();
    // All interleavings take a minute, almost all of them within the locks of the list.
    model.preemption_bound = Some(3);
    model.check(|| {
        let parent = Budget::new("parent", 4);
        let child = parent.child("child", 3);
        let other = {
            let parent = parent.clone();
            thread::spawn(move || parent.reserve(2, "parent's").map(drop))
        };
        let work = || -> Result<(), OverBudget> {
            let mut mine = child.reserve(1, "child's")?;
            mine.grow(2)
        };
        let mine = work();
        let other = other.join().unwrap();
        assert!(mine.is_ok() || other.is_ok());
        assert!(parent.used_bytes() == 0 && child.used_bytes() == 0);
        assert!(parent.holders().is_empty());
        assert!(parent.peak_bytes() <= 4 && child.peak_bytes() <= 3);
    });
}
