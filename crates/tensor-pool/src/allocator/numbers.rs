//! Assignment of small numbers, each owned by one thread at a time.

#[cfg(loom)]
use loom::sync::atomic::AtomicU64;
#[cfg(not(loom))]
use std::sync::atomic::AtomicU64;

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Numbers per word of the bit set.
pub(super) const PER_WORD: usize = u64::BITS as usize;

/// Acquires the smallest free number, or returns `None` if all are in use.
pub(super) fn acquire(in_use: &[AtomicU64]) -> Option<usize> {
    for (index, word) in in_use.iter().enumerate() {
        loop {
            let bit = word.load(Relaxed).trailing_ones();
            if bit == u64::BITS {
                break;
            }
            // Acquire: pairs with `release`.
            if word.fetch_or(1 << bit, Acquire) & (1 << bit) == 0 {
                return Some(index * PER_WORD + bit as usize);
            }
        }
    }
    None
}

/// Releases a number for reuse.
pub(super) fn release(in_use: &[AtomicU64], number: usize) {
    if let Some(word) = in_use.get(number / PER_WORD) {
        // Release: the next owner of the number sees all writes of this owner.
        word.fetch_and(!(1 << (number % PER_WORD)), Release);
    }
}

#[cfg(all(loom, test))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// Three threads compete for two numbers. Writes of one owner must be visible to the next;
    /// loom's cell fails on concurrent access.
    #[test]
    fn loom_number_has_one_owner_at_a_time() {
        let mut model = loom::model::Builder::new();
        // Three threads: all interleavings with up to three preemptions.
        model.preemption_bound = Some(3);
        model.check(|| {
            let in_use = Arc::new([AtomicU64::new(u64::MAX << 2)]);
            let cells = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
            let work = |in_use: &[AtomicU64], cells: &[UnsafeCell<u32>]| {
                let Some(number) = acquire(in_use) else {
                    return 0;
                };
                // SAFETY: a number has one owner at a time, which loom checks here.
                cells[number].with_mut(|cell| unsafe { *cell += 1 });
                release(in_use, number);
                1
            };
            let others = [(); 2].map(|()| {
                let (in_use, cells) = (in_use.clone(), cells.clone());
                thread::spawn(move || work(&*in_use, &*cells))
            });
            let mut acquired = work(&*in_use, &*cells);
            for other in others {
                acquired += other.join().expect("thread");
            }
            // SAFETY: the other threads have ended.
            let total: u32 = cells
                .iter()
                .map(|cell| cell.with(|cell| unsafe { *cell }))
                .sum();
            assert_eq!(total, acquired);
            assert_eq!(
                in_use[0].load(Acquire),
                u64::MAX << 2,
                "all numbers are free"
            );
        });
    }
}
