//! A shelf: the idle blocks of one class. Any thread can take or put a block without waiting.

#[cfg(loom)]
use loom::sync::atomic::{AtomicIsize, AtomicPtr};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicIsize, AtomicPtr};

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// The fill level of a shelf. It has a cache line of its own, because shelves of different classes
/// are used by different threads.
#[repr(align(64))]
pub(super) struct Level {
    /// Number of blocks on the shelf, minus those of unfinished `put` calls, plus those of
    /// unfinished `take` calls. If this is not positive, the shelf has no block whose `put` has
    /// returned.
    now: AtomicIsize,
    /// The minimum of `now` since [`Shelf::start_watch`].
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
/// A slot contains null or a block. A block is either in a slot or owned by the thread that took
/// it. There are no links between blocks, so ABA is harmless: a compare-exchange on a block that
/// was taken and put back meanwhile still takes exactly that block.
pub(super) struct Shelf<'a, T> {
    pub(super) slots: &'a [AtomicPtr<T>],
    pub(super) level: &'a Level,
}

/// Number of scans in [`Shelf::take`] before it gives up although the level is positive. Other
/// threads can move a block to a slot that was already scanned, but rarely this often in a row.
const SCANS: usize = 4;

impl<T> Shelf<'_, T> {
    /// Takes a block that `fits`. Without concurrent access, this is the block that was put last,
    /// whose pages are most likely cached. O(1) in that case, O(slots) at worst.
    ///
    /// `SeqCst`, here and in [`Shelf::put`], is required by
    /// [`super::shelves::Shelves::take_excess`]: either it sees a block, or the thread that puts
    /// the block sees the new capacity. The content of a block requires only acquire and release.
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

    /// Puts a block into a free slot. Returns `false` if there is none. O(1) without concurrent
    /// access, O(slots) at worst.
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

    /// Returns the minimum number of blocks on the shelf since the last call, which is the number
    /// of unneeded blocks. Starts a new period.
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

    /// Creates a block from a number. Blocks are never read, so they need no memory.
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

        /// Takes all remaining blocks after all threads have finished.
        fn drain(&self) -> Vec<usize> {
            let rest: Vec<_> = std::iter::from_fn(|| self.shelf().take(|_| true))
                .map(|block| block.as_ptr().addr())
                .collect();
            assert_eq!(
                self.level.now.load(SeqCst),
                0,
                "the level must be 0 after all blocks were taken"
            );
            rest
        }
    }

    fn assert_each_once(owned: impl IntoIterator<Item = usize>, expected: &[usize]) {
        let owned: Vec<_> = owned.into_iter().collect();
        let distinct: BTreeSet<_> = owned.iter().copied().collect();
        assert_eq!(
            distinct.len(),
            owned.len(),
            "a block was taken twice: {owned:?}"
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
    fn loom_block_is_taken_by_one_thread_only() {
        loom::model(|| {
            let owned = Arc::new(Owned::with(2, &[16]));
            let other = thread::spawn({
                let owned = owned.clone();
                move || take(&owned.shelf())
            });
            let mine = take(&owned.shelf());
            let theirs = other.join().expect("thread");
            assert_each_once(mine.into_iter().chain(theirs), &[16]);
        });
    }

    #[test]
    fn loom_concurrent_put_and_take_neither_lose_nor_duplicate_blocks() {
        loom::model(|| {
            let owned = Arc::new(Owned::with(2, &[]));
            let work = |owned: &Owned, name: usize| {
                let shelf = owned.shelf();
                // If the shelf is full, the thread still owns the block.
                let rejected = (!shelf.put(block(name))).then_some(name);
                [rejected, take(&shelf)]
            };
            let other = thread::spawn({
                let owned = owned.clone();
                move || work(&owned, 16)
            });
            let mine = work(&owned, 32);
            let theirs = other.join().expect("thread");
            let rest = owned.drain();
            assert_each_once(
                mine.into_iter().chain(theirs).flatten().chain(rest),
                &[16, 32],
            );
        });
    }

    #[test]
    fn loom_block_that_is_put_back_has_one_owner() {
        let mut model = loom::model::Builder::new();
        // Three threads: all interleavings with up to three preemptions.
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
            assert_each_once(
                mine.into_iter()
                    .chain(theirs.into_iter().flatten())
                    .chain(rest),
                &[16, 32],
            );
        });
    }

    #[test]
    fn loom_block_that_does_not_fit_stays() {
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
