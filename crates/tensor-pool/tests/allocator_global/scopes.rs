//! Scopes of one thread and of several.

use std::sync::Barrier;
use std::thread;

use tensor_pool::{Scope, ScopeUsage, SharedScope};

use crate::{KIB, MIB, install, touched};

#[test]
fn scope_counts_only_its_own_thread() {
    install();
    let before = touched(500 * KIB);
    let scope = Scope::new("work");
    let small = touched(100);
    let elsewhere = thread::scope(|threads| {
        let usage = Scope::new("spawning").usage().unwrap();
        assert_eq!(usage.allocations, 0);
        threads
            .spawn(|| drop(touched(7 * MIB)))
            .join()
            .map(|()| touched(MIB))
            .unwrap()
    });
    let inside = scope.usage().unwrap();
    assert!(inside.allocated_bytes >= (MIB + 100) as u64);
    assert!(inside.allocated_bytes < ((2 * MIB) as u64), "{inside:?}");
    drop(elsewhere);
    drop(before);
    let usage = scope.usage().unwrap();
    assert_eq!(
        usage.change_bytes,
        usage.allocated_bytes as i64 - usage.freed_bytes as i64
    );
    assert!(usage.change_bytes < -400 * KIB as i64, "{usage:?}");
    assert!(usage.peak_bytes >= (MIB + 100) as u64);
    assert!(usage.peak_bytes < ((MIB + 100 * KIB) as u64));
    drop(small);
}

#[test]
fn shared_scope_counts_every_thread_inside() {
    install();
    let scope = SharedScope::new("shared");
    let (all_live, dropped) = (Barrier::new(3), Barrier::new(3));
    let outside = touched(MIB);
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                drop(touched(MIB));
                let inside = scope.enter();
                let block = touched(300 * KIB);
                all_live.wait();
                drop(block);
                dropped.wait();
                drop(inside);
                drop(touched(MIB));
            });
        }
        {
            let _inside = scope.enter();
            drop(touched(100 * KIB));
            all_live.wait();
        }
        dropped.wait();
    });
    drop(outside);
    let usage = scope.usage().unwrap();
    assert_eq!((usage.allocations, usage.frees), (3, 3));
    assert_eq!((usage.allocated_bytes, usage.change_bytes), (700 << 10, 0));
    assert!(
        (600 << 10..=700 << 10).contains(&usage.peak_bytes),
        "{usage:?}"
    );
}

#[test]
fn shared_scopes_nest_with_scopes_and_end_in_any_order() {
    install();
    let (outer, inner) = (SharedScope::new("outer"), SharedScope::new("inner"));
    let local = Scope::new("local");
    let first = outer.enter();
    drop(touched(10 * KIB));
    let second = inner.enter();
    // The thread is counted once.
    let again = outer.enter();
    drop(touched(20 * KIB));
    drop(again);
    drop(first);
    drop(touched(40 * KIB));
    drop(second);
    drop(touched(80 * KIB));
    let allocated = |usage: Option<ScopeUsage>| usage.unwrap().allocated_bytes >> 10;
    assert_eq!(allocated(outer.usage()), 30);
    assert_eq!(allocated(inner.usage()), 60);
    assert_eq!(allocated(local.usage()), 150);
}

#[test]
fn ninth_shared_scope_of_a_thread_reports_no_usage() {
    install();
    let scopes = [(); 9].map(|()| SharedScope::new("one of nine"));
    let inside: Vec<_> = scopes.iter().map(SharedScope::enter).collect();
    drop(touched(KIB));
    drop(inside);
    let (last, first) = scopes.split_last().unwrap();
    assert!(
        first
            .iter()
            .all(|scope| scope.usage().unwrap().allocations >= 1)
    );
    assert_eq!(last.usage(), None);
    // The slots are free again.
    let scope = SharedScope::new("again");
    let inside = scope.enter();
    drop(touched(KIB));
    drop(inside);
    assert_eq!(scope.usage().unwrap().allocations, 1);
}

#[test]
fn leaked_entry_keeps_the_counts_of_its_scope_alive() {
    thread::spawn(|| {
        install();
        let scope = SharedScope::new("leaked");
        std::mem::forget(scope.enter());
        drop(scope);
        drop(touched(KIB));
    })
    .join()
    .unwrap();
}

#[test]
fn nested_scopes_have_their_own_peaks() {
    install();
    let outer = Scope::new("outer");
    drop(touched(300 * KIB));
    {
        let inner = Scope::new("inner");
        drop(touched(200 * KIB));
        assert_eq!(inner.usage().unwrap().peak_bytes, 200 << 10);
        let third = Scope::new("third");
        assert_eq!(third.usage(), Some(Default::default()));
    }
    assert_eq!(outer.usage().unwrap().peak_bytes, 300 << 10);
    let block = touched(100 * KIB);
    {
        let _inner = Scope::new("inner");
        drop(touched(250 * KIB));
    }
    let usage = outer.usage().unwrap();
    assert_eq!(usage.peak_bytes, 350 << 10);
    assert_eq!((usage.allocations, usage.frees), (4, 3));
    drop(block);
}
