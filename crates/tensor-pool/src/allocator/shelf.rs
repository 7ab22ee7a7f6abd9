//! A shelf: idle blocks of one class, which any thread may take or put without waiting.

#[cfg(loom)]
use loom::sync::atomic::{AtomicIsize, AtomicPtr};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicIsize, AtomicPtr};

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// How full a shelf is. On a cache line of its own: shelves of different classes are used by
/// different threads.
#[repr(align(64))]
pub(super) struct Level {
    /// Blocks on the shelf, less those whose putting and plus those whose taking is not over. So
    /// where this is not above zero, no block lies there whose `put` has returned.
    now: AtomicIsize,
    /// The least `now` since [`Shelf::start_watch`].
    low: AtomicIsize,
}

impl Level {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self {
            now: AtomicIsize::new(0),
            low: AtomicIsize::new(0),
        }
    }
}

/// A view of one class's slots.
///
/// A slot holds null or a block. A block lies in a slot or with whoever took it, and there are no
/// links between blocks: a compare-exchange from a block that was taken and came back meanwhile
/// (ABA) still takes exactly the block it names.
pub(super) struct Shelf<'a, T> {
    pub(super) slots: &'a [AtomicPtr<T>],
    pub(super) level: &'a Level,
}

/// Scans made by [`Shelf::take`] before it gives up while blocks seem to be there: other threads may
/// move each of them behind the scan, but hardly this often in a row.
const SCANS: usize = 4;

impl<T> Shelf<'_, T> {
    /// Takes a block that `fits`, the one put last if nothing else is going on: its pages are the
    /// likeliest to be cached. O(1) then, O(slots) at worst.
    ///
    /// `SeqCst`, here and in [`Shelf::put`], is for [`super::shelves::Shelves::take_excess`], which
    /// must see a block or be seen by who puts it; what the block holds needs no more than
    /// acquire and release.
    pub(super) fn take(&self, fits: impl Fn(*mut T) -> bool) -> Option<NonNull<T>> {
        for _ in 0..SCANS {
            let level = self.level.now.load(SeqCst);
            if level <= 0 {
                return None;
            }
            let mut unfit = 0;
            for slot in self.downwards_from(level as usize) {
                let block = slot.load(SeqCst);
                let Some(found) = NonNull::new(block) else {
                    continue;
                };
                if !fits(block) {
                    unfit += 1;
                } else if slot
                    .compare_exchange(block, ptr::null_mut(), SeqCst, Relaxed)
                    .is_ok()
                {
                    let left = self.level.now.fetch_sub(1, SeqCst) - 1;
                    if left < self.level.low.load(Relaxed) {
                        self.level.low.fetch_min(left, Relaxed);
                    }
                    return Some(found);
                }
            }
            if unfit >= level as usize {
                return None;
            }
        }
        None
    }

    /// Puts a block into a free slot; `false` where there is none. O(1) where nothing else is going
    /// on, O(slots) at worst.
    pub(super) fn put(&self, block: NonNull<T>) -> bool {
        let level = self.level.now.load(SeqCst).max(0) as usize;
        for slot in self.upwards_from(level) {
            if slot.load(Relaxed).is_null()
                && slot
                    .compare_exchange(ptr::null_mut(), block.as_ptr(), SeqCst, Relaxed)
                    .is_ok()
            {
                self.level.now.fetch_add(1, SeqCst);
                return true;
            }
        }
        false
    }

    /// How many blocks were on the shelf all the time since the last call: nobody needed them.
    pub(super) fn start_watch(&self) -> usize {
        let now = self.level.now.load(SeqCst);
        let low = self.level.low.swap(now, SeqCst);
        low.min(now).max(0) as usize
    }

    fn downwards_from(&self, level: usize) -> impl Iterator<Item = &AtomicPtr<T>> {
        let (lower, upper) = self.slots.split_at(level.min(self.slots.len()));
        lower.iter().rev().chain(upper.iter())
    }

    fn upwards_from(&self, level: usize) -> impl Iterator<Item = &AtomicPtr<T>> {
        let (lower, upper) = self.slots.split_at(level.min(self.slots.len()));
        upper.iter().chain(lower.iter().rev())
    }
}

#[cfg(all(loom, test))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;
    use std::collections::BTreeSet;

    /// Names of blocks: never read, so they need no memory.
    fn block(name: usize) -> NonNull<u8> {
        NonNull::new(ptr::without_provenance_mut(name)).expect("not 0")
    }

    struct Owned {
        slots: Vec<AtomicPtr<u8>>,
        level: Level,
    }

    impl Owned {
        fn with(slots: usize, blocks: &[usize]) -> Self {
            let owned = Self {
                slots: (0..slots)
                    .map(|_| AtomicPtr::new(ptr::null_mut()))
                    .collect(),
                level: Level {
                    now: AtomicIsize::new(0),
                    low: AtomicIsize::new(0),
                },
            };
            for &name in blocks {
                assert!(owned.shelf().put(block(name)));
            }
            owned
        }

        fn shelf(&self) -> Shelf<'_, u8> {
            Shelf {
                slots: &self.slots,
                level: &self.level,
            }
        }

        /// What is left once all threads are done, taken one by one.
        fn drain(&self) -> Vec<usize> {
            let rest: Vec<_> = std::iter::from_fn(|| self.shelf().take(|_| true))
                .map(|block| block.as_ptr().addr())
                .collect();
            assert_eq!(
                self.level.now.load(SeqCst),
                0,
                "the level counts the blocks"
            );
            rest
        }
    }

    fn all_once(held: impl IntoIterator<Item = usize>, expected: &[usize]) {
        let held: Vec<_> = held.into_iter().collect();
        let distinct: BTreeSet<_> = held.iter().copied().collect();
        assert_eq!(
            distinct.len(),
            held.len(),
            "a block was taken twice: {held:?}"
        );
        assert_eq!(
            distinct,
            expected.iter().copied().collect(),
            "a block was lost"
        );
    }

    fn take(shelf: &Shelf<'_, u8>) -> Option<usize> {
        shelf.take(|_| true).map(|block| block.as_ptr().addr())
    }

    #[test]
    fn loom_one_block_is_taken_by_one_of_two_threads() {
        loom::model(|| {
            let owned = Arc::new(Owned::with(2, &[16]));
            let other = thread::spawn({
                let owned = owned.clone();
                move || take(&owned.shelf())
            });
            let mine = take(&owned.shelf());
            let theirs = other.join().expect("thread");
            all_once(mine.into_iter().chain(theirs), &[16]);
        });
    }

    #[test]
    fn loom_putting_and_taking_on_two_threads_loses_and_doubles_nothing() {
        loom::model(|| {
            let owned = Arc::new(Owned::with(2, &[]));
            let work = |owned: &Owned, name: usize| {
                let shelf = owned.shelf();
                // A full shelf leaves the block with its owner.
                let kept = (!shelf.put(block(name))).then_some(name);
                [kept, take(&shelf)]
            };
            let other = thread::spawn({
                let owned = owned.clone();
                move || work(&owned, 16)
            });
            let mine = work(&owned, 32);
            let theirs = other.join().expect("thread");
            let rest = owned.drain();
            all_once(
                mine.into_iter().chain(theirs).flatten().chain(rest),
                &[16, 32],
            );
        });
    }

    #[test]
    fn loom_a_block_that_comes_back_while_three_threads_take_is_held_once() {
        let mut model = loom::model::Builder::new();
        // Three threads: all interleavings with up to three forced switches.
        model.preemption_bound = Some(3);
        model.check(|| {
            let owned = Arc::new(Owned::with(2, &[16, 32]));
            let returning = thread::spawn({
                let owned = owned.clone();
                move || {
                    let shelf = owned.shelf();
                    let taken = shelf.take(|_| true)?;
                    (!shelf.put(taken)).then_some(taken.as_ptr().addr())
                }
            });
            let taking = thread::spawn({
                let owned = owned.clone();
                move || take(&owned.shelf())
            });
            let mine = take(&owned.shelf());
            let theirs = [
                returning.join().expect("thread"),
                taking.join().expect("thread"),
            ];
            let rest = owned.drain();
            all_once(
                mine.into_iter()
                    .chain(theirs.into_iter().flatten())
                    .chain(rest),
                &[16, 32],
            );
        });
    }

    #[test]
    fn loom_a_block_of_the_wrong_kind_stays() {
        loom::model(|| {
            let owned = Arc::new(Owned::with(2, &[16, 33]));
            let odd = |block: *mut u8| block.addr() % 2 == 1;
            let other = thread::spawn({
                let owned = owned.clone();
                move || owned.shelf().take(odd).map(|block| block.as_ptr().addr())
            });
            let mine = owned.shelf().take(odd).map(|block| block.as_ptr().addr());
            let theirs = other.join().expect("thread");
            let odd: Vec<_> = mine.into_iter().chain(theirs).collect();
            assert_eq!(odd, [33]);
            assert_eq!(owned.drain(), [16]);
        });
    }
}
