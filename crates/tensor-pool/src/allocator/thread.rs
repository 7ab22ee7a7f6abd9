//! State per thread: its number and its open scope.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::AtomicU64;

use super::numbers::{self, PER_WORD};
use super::shard::{OWN_NUMBERS, TallyOffset};
use super::tally::{Activity, SharedTally, Tally};

/// This thread has not requested a number yet.
const UNASSIGNED: usize = usize::MAX;

/// This thread has no number, because all are in use or the thread is ending.
const NO_NUMBER: usize = usize::MAX - 1;

/// Numbers in use, one bit each.
static IN_USE: [AtomicU64; OWN_NUMBERS / PER_WORD] =
    [const { AtomicU64::new(0) }; OWN_NUMBERS / PER_WORD];

/// Number of shared scopes that a thread can be inside at the same time.
const SHARED: usize = 8;

struct Thread {
    number: Cell<usize>,
    /// Where small requests are counted: the only field that most of them read. An `aside` offset,
    /// unless counting is all there is to do.
    tally_offset: Cell<TallyOffset>,
    /// The allocator that the open scope tracks; null if no scope is open.
    tracked: Cell<*const ()>,
    tally: Cell<Tally>,
    /// The tallies of the shared scopes that this thread is inside; null if a slot is free.
    shared: [Cell<*const SharedTally>; SHARED],
}

impl Thread {
    fn set_number(&self, number: usize) {
        self.number.set(number);
        self.choose_tally_offset();
    }

    /// Returns the thread's number, if it has one and no scope is open.
    fn plain_number(&self) -> Option<usize> {
        let number = self.number.get();
        (number < OWN_NUMBERS && self.tracked.get().is_null()).then_some(number)
    }

    fn choose_tally_offset(&self) {
        self.tally_offset.set(match self.plain_number() {
            Some(number) => TallyOffset::own(number),
            None => TallyOffset::aside(Some(self.number.get())),
        });
    }
}

/// Releases the thread's number when the thread ends.
struct NumberGuard(Cell<usize>);

impl Drop for NumberGuard {
    fn drop(&mut self) {
        let number = self.0.get();
        // Later destructors of this thread count with the shared set.
        let _ = THREAD.try_with(|thread| thread.set_number(NO_NUMBER));
        numbers::release(&IN_USE, number);
    }
}

thread_local! {
    // Without a destructor: readable until the thread ends, at the cost of a load.
    static THREAD: Thread = const {
        Thread {
            number: Cell::new(UNASSIGNED),
            tally_offset: Cell::new(TallyOffset::aside(None)),
            tracked: Cell::new(ptr::null()),
            tally: Cell::new(Tally::NONE),
            shared: [const { Cell::new(ptr::null()) }; SHARED],
        }
    };
    // Since Rust 1.93 a global allocator may use thread locals with destructors: the standard
    // library allocates their list from `System`.
    static NUMBER_GUARD: NumberGuard = const { NumberGuard(Cell::new(NO_NUMBER)) };
}

/// Returns the offset of the tallies for this thread's small requests.
#[inline]
pub(super) fn tally_offset() -> TallyOffset {
    THREAD
        .try_with(|thread| thread.tally_offset.get())
        .unwrap_or(TallyOffset::aside(None))
}

/// Returns the thread's own number, if counting a small request with it is all there is to do.
pub(super) fn plain_number() -> Option<usize> {
    THREAD.try_with(Thread::plain_number).unwrap_or(None)
}

/// Returns the allocator that the open scope tracks; null if no scope is open.
pub(super) fn tracked() -> *const () {
    THREAD
        .try_with(|thread| thread.tracked.get())
        .unwrap_or(ptr::null())
}

/// Returns the thread's own number. Acquires one on the first call; `None` if none is available.
pub(super) fn own_number() -> Option<usize> {
    let number = THREAD
        .try_with(|thread| {
            if thread.number.get() == UNASSIGNED {
                // Registering the destructor may allocate on some platforms. During that nested
                // call the thread has no number.
                thread.set_number(NO_NUMBER);
                let number = NUMBER_GUARD.try_with(|guard| {
                    // The next owner of the number continues with the counters of this thread.
                    let number = numbers::acquire(&IN_USE).unwrap_or(NO_NUMBER);
                    guard.0.set(number);
                    number
                });
                thread.set_number(number.unwrap_or(NO_NUMBER));
            }
            thread.number.get()
        })
        .unwrap_or(NO_NUMBER);
    (number < OWN_NUMBERS).then_some(number)
}

/// Returns an address that is unique to this thread during its lifetime.
pub(super) fn identity() -> usize {
    THREAD
        .try_with(|thread| ptr::from_ref(thread).addr())
        .unwrap_or(usize::MAX)
}

/// Returns the tally of the open scope.
pub(super) fn tally() -> Tally {
    THREAD
        .try_with(|thread| thread.tally.get())
        .unwrap_or(Tally::NONE)
}

/// Replaces the tally of the open scope. While a scope is open, requests to `tracked` are counted.
pub(super) fn set_tally(tally: Tally, tracked: *const ()) {
    let _ = THREAD.try_with(|thread| {
        let open = tally.depth > 0;
        thread.tally.set(if open { tally } else { Tally::NONE });
        thread.tracked.set(if open { tracked } else { ptr::null() });
        thread.choose_tally_offset();
    });
}

/// Adds to the tally of the open scope, and to those of the shared scopes that this thread is
/// inside.
pub(super) fn track(activity: Activity) {
    let _ = THREAD.try_with(|thread| {
        let mut tally = thread.tally.get();
        tally.add(activity);
        thread.tally.set(tally);
        for shared in &thread.shared {
            // SAFETY: a slot is null, or points to a tally that the caller of `enter` keeps alive.
            if let Some(shared) = unsafe { shared.get().as_ref() } {
                shared.add(activity);
            }
        }
    });
}

/// The result of [`enter`].
pub(super) enum Entry {
    /// The thread is tracked. Its slot is passed to [`leave`].
    Tracked(usize),
    /// The thread was inside already.
    Inside,
    /// The thread is inside the maximum number of shared scopes.
    Full,
}

/// Tracks this thread in a shared tally until [`leave`] is called.
///
/// # Safety
/// If the result is [`Entry::Tracked`], the tally must stay alive until [`leave`] is called on this
/// thread, or forever.
pub(super) unsafe fn enter(tally: *const SharedTally) -> Entry {
    THREAD
        .try_with(|thread| {
            if thread.shared.iter().any(|slot| slot.get() == tally) {
                return Entry::Inside;
            }
            match thread.shared.iter().position(|slot| slot.get().is_null()) {
                Some(slot) => {
                    thread.shared[slot].set(tally);
                    Entry::Tracked(slot)
                }
                None => Entry::Full,
            }
        })
        .unwrap_or(Entry::Full)
}

/// Ends the tracking of this thread in the shared tally of a slot.
pub(super) fn leave(slot: usize) {
    let _ = THREAD.try_with(|thread| thread.shared[slot].set(ptr::null()));
}
