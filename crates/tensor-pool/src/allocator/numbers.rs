//! Small numbers, each held by one at a time.

#[cfg(loom)]
use loom::sync::atomic::AtomicU64;
#[cfg(not(loom))]
use std::sync::atomic::AtomicU64;

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// How many numbers one word of bits stands for.
pub(super) const PER_WORD: usize = u64::BITS as usize;

/// The least number that nobody holds; `None` where all are held.
pub(super) fn take(taken: &[AtomicU64]) -> Option<usize> {
    for (index, word) in taken.iter().enumerate() {
        loop {
            let bit = word.load(Relaxed).trailing_ones();
            if bit == u64::BITS {
                break;
            }
            // Acquire: see `put_back`.
            if word.fetch_or(1 << bit, Acquire) & (1 << bit) == 0 {
                return Some(index * PER_WORD + bit as usize);
            }
        }
    }
    None
}

/// Leaves a number to the next one.
pub(super) fn put_back(taken: &[AtomicU64], number: usize) {
    if let Some(word) = taken.get(number / PER_WORD) {
        // Release: who takes the number next sees what was written under it.
        word.fetch_and(!(1 << (number % PER_WORD)), Release);
    }
}

#[cfg(all(loom, test))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// Two numbers are free, three threads want one; what is written under a number is seen by its
    /// next holder (loom's cell fails where two threads may be in it at once).
    #[test]
    fn loom_a_number_is_held_by_one_thread_at_a_time() {
        let mut model = loom::model::Builder::new();
        // Three threads: all interleavings with up to three forced switches.
        model.preemption_bound = Some(3);
        model.check(|| {
            let taken = Arc::new([AtomicU64::new(u64::MAX << 2)]);
            let cells = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
            let work = |taken: &[AtomicU64], cells: &[UnsafeCell<u32>]| {
                let Some(number) = take(taken) else {
                    return 0;
                };
                // SAFETY: the number's holder is alone, which is what loom checks.
                cells[number].with_mut(|cell| unsafe { *cell += 1 });
                put_back(taken, number);
                1
            };
            let others = [(); 2].map(|()| {
                let (taken, cells) = (taken.clone(), cells.clone());
                thread::spawn(move || work(&*taken, &*cells))
            });
            let mut held = work(&*taken, &*cells);
            for other in others {
                held += other.join().expect("thread");
            }
            // SAFETY: the other threads have ended.
            let seen: u32 = cells
                .iter()
                .map(|cell| cell.with(|cell| unsafe { *cell }))
                .sum();
            assert_eq!(seen, held);
            assert_eq!(taken[0].load(Acquire), u64::MAX << 2, "all are back");
        });
    }
}
