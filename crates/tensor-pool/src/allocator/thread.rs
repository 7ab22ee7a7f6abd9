//! What an allocator keeps per thread: a number of its own, and the open scope.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::AtomicU64;

use super::numbers::{self, PER_WORD};
use super::shard::{OWN_NUMBERS, Place};

/// This thread has not asked for a number yet.
const UNASKED: usize = usize::MAX;

/// This thread has none: all were taken, or the thread is ending.
const NO_NUMBER: usize = usize::MAX - 1;

/// Numbers in use, one bit each.
static TAKEN: [AtomicU64; OWN_NUMBERS / PER_WORD] =
    [const { AtomicU64::new(0) }; OWN_NUMBERS / PER_WORD];

/// What this thread allocated and freed since its outermost open scope began.
#[derive(Clone, Copy)]
pub(super) struct Tally {
    pub(super) allocations: u64,
    pub(super) allocated: u64,
    pub(super) frees: u64,
    pub(super) freed: u64,
    /// The greatest `balance` since the innermost open scope began.
    pub(super) peak: i64,
    /// The innermost open scope.
    pub(super) name: Option<&'static str>,
    /// How many scopes are open.
    pub(super) depth: usize,
}

impl Tally {
    const NONE: Self = Self {
        allocations: 0,
        allocated: 0,
        frees: 0,
        freed: 0,
        peak: 0,
        name: None,
        depth: 0,
    };

    pub(super) const fn balance(&self) -> i64 {
        self.allocated.wrapping_sub(self.freed) as i64
    }
}

struct Thread {
    number: Cell<usize>,
    /// Where small requests are counted: the only thing that most of them look at. Aside, unless
    /// counting is all there is to do.
    place: Cell<Place>,
    /// The allocator whose requests the open scope follows; null where none is open.
    followed: Cell<*const ()>,
    tally: Cell<Tally>,
}

impl Thread {
    fn set_number(&self, number: usize) {
        self.number.set(number);
        self.choose_place();
    }

    /// The thread's number, where it has one and no open scope follows it.
    fn plain_number(&self) -> Option<usize> {
        let number = self.number.get();
        (number < OWN_NUMBERS && self.followed.get().is_null()).then_some(number)
    }

    fn choose_place(&self) {
        self.place.set(match self.plain_number() {
            Some(number) => Place::own(number),
            None => Place::aside(Some(self.number.get())),
        });
    }
}

/// Gives the thread's number back when the thread ends.
struct Return(Cell<usize>);

impl Drop for Return {
    fn drop(&mut self) {
        let number = self.0.get();
        // What this thread frees from here on, in later destructors, it counts with the shared set.
        let _ = THREAD.try_with(|thread| thread.set_number(NO_NUMBER));
        numbers::put_back(&TAKEN, number);
    }
}

thread_local! {
    // Without a destructor: readable as long as the thread runs, and no more than a load.
    static THREAD: Thread = const {
        Thread {
            number: Cell::new(UNASKED),
            place: Cell::new(Place::aside(None)),
            followed: Cell::new(ptr::null()),
            tally: Cell::new(Tally::NONE),
        }
    };
    // Since Rust 1.93 a global allocator may have thread locals with destructors: the standard
    // library keeps their list in memory from `System`.
    static RETURN: Return = const { Return(Cell::new(NO_NUMBER)) };
}

/// Where this thread counts small requests.
#[inline]
pub(super) fn place() -> Place {
    THREAD
        .try_with(|thread| thread.place.get())
        .unwrap_or(Place::aside(None))
}

/// The thread's own number, where counting a small request with that is all there is to do.
pub(super) fn plain_number() -> Option<usize> {
    THREAD.try_with(Thread::plain_number).unwrap_or(None)
}

/// The allocator that the open scope follows; null where none is open.
pub(super) fn followed() -> *const () {
    THREAD
        .try_with(|thread| thread.followed.get())
        .unwrap_or(ptr::null())
}

/// The thread's own number, asked for now where it was not yet; `None` where it gets none.
pub(super) fn own_number() -> Option<usize> {
    let number = THREAD
        .try_with(|thread| {
            if thread.number.get() == UNASKED {
                // Registering the destructor may allocate on some platforms: in that nested call
                // the thread has no number.
                thread.set_number(NO_NUMBER);
                let number = RETURN.try_with(|held| {
                    // The next holder goes on from the counters this thread will leave.
                    let number = numbers::take(&TAKEN).unwrap_or(NO_NUMBER);
                    held.0.set(number);
                    number
                });
                thread.set_number(number.unwrap_or(NO_NUMBER));
            }
            thread.number.get()
        })
        .unwrap_or(NO_NUMBER);
    (number < OWN_NUMBERS).then_some(number)
}

/// An address that only this thread has while it lives.
pub(super) fn identity() -> usize {
    THREAD
        .try_with(|thread| ptr::from_ref(thread).addr())
        .unwrap_or(usize::MAX)
}

/// The open scope's tally.
pub(super) fn tally() -> Tally {
    THREAD
        .try_with(|thread| thread.tally.get())
        .unwrap_or(Tally::NONE)
}

/// Changes the open scope's tally; requests to `followed` are counted while a scope is open.
pub(super) fn set_tally(tally: Tally, followed: *const ()) {
    let _ = THREAD.try_with(|thread| {
        let open = tally.depth > 0;
        thread.tally.set(if open { tally } else { Tally::NONE });
        thread
            .followed
            .set(if open { followed } else { ptr::null() });
        thread.choose_place();
    });
}

/// Counts for the open scope.
pub(super) fn follow(allocations: u64, allocated: u64, frees: u64, freed: u64) {
    let _ = THREAD.try_with(|thread| {
        let mut tally = thread.tally.get();
        tally.allocations += allocations;
        tally.allocated += allocated;
        tally.frees += frees;
        tally.freed += freed;
        tally.peak = tally.peak.max(tally.balance());
        thread.tally.set(tally);
    });
}
