//! The counters of one thread, and how a small request finds them.

use std::cell::UnsafeCell;
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Number of living threads that have counters of their own. Further threads share one set, which is as
/// exact but costs atomic additions. 256 sets of 128 bytes are 32 KiB an allocator.
pub(super) const OWN_NUMBERS: usize = 256;

/// What a small request adds to.
pub(super) struct Tallies {
    pub(super) allocations: AtomicU64,
    pub(super) allocated: AtomicU64,
    /// `allocated` beyond this is looked at more closely.
    pub(super) allocated_limit: Limit,
    pub(super) frees: AtomicU64,
    pub(super) freed: AtomicU64,
    /// Likewise.
    pub(super) freed_limit: Limit,
}

impl Tallies {
    const fn new() -> Self {
        Self {
            allocations: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
            allocated_limit: Limit::new(),
            frees: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            freed_limit: Limit::new(),
        }
    }
}

/// A number for the threads that count with the [`Tallies`] it is part of. No atomic: the compiler
/// joins a load and a comparison only where the load is plain.
pub(super) struct Limit(UnsafeCell<u64>);

// SAFETY: a limit of `Shard::tallies` is read and written by the one thread that has the number, and
// whoever has the number next sees all of that (`numbers::put_back`). Those of `Shard::aside` are read
// by any thread, and never written.
unsafe impl Sync for Limit {}

impl Limit {
    const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    #[inline]
    pub(super) fn get(&self) -> u64 {
        // SAFETY: nobody writes meanwhile, as above.
        unsafe { *self.0.get() }
    }

    /// # Safety
    /// It is one of the tallies of the calling thread's own number.
    pub(super) unsafe fn set(&self, limit: u64) {
        // SAFETY: nobody else reads or writes meanwhile, as above.
        unsafe { *self.0.get() = limit };
    }
}

/// On two cache lines, as processors fetch them in pairs.
#[repr(C, align(128))]
pub(super) struct Shard {
    pub(super) tallies: Tallies,
    /// The portion of `allocated - freed` that is published to the common balance.
    pub(super) published: AtomicU64,
    pub(super) pool_allocations: AtomicU64,
    pub(super) pool_allocated: AtomicU64,
    /// Signed, as two's complement: a block may be freed on another thread.
    pub(super) padding: AtomicU64,
    /// Written instead of the first ones where there is more to do than to count. Nobody reads what
    /// they count; their limits stay 0, so that every request is over the limit.
    aside: Tallies,
}

/// As stated above.
const _: () = assert!(size_of::<Shard>() == 128);

impl Shard {
    const fn new() -> Self {
        Self {
            tallies: Tallies::new(),
            published: AtomicU64::new(0),
            pool_allocations: AtomicU64::new(0),
            pool_allocated: AtomicU64::new(0),
            padding: AtomicU64::new(0),
            aside: Tallies::new(),
        }
    }
}

/// The counters of all threads: by their numbers, and one set for all those without a number.
pub(super) struct Shards([Shard; OWN_NUMBERS + 1]);

impl Shards {
    pub(super) const fn new() -> Self {
        Self([const { Shard::new() }; OWN_NUMBERS + 1])
    }

    /// Of the thread that has the number.
    pub(super) fn own(&self, number: usize) -> &Shard {
        &self.0[number]
    }

    /// Of threads without a number: written with atomic additions.
    pub(super) fn shared(&self) -> &Shard {
        &self.0[OWN_NUMBERS]
    }

    /// All of them, the shared one last.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.0.iter()
    }

    /// Returns the counters at a place.
    #[inline]
    pub(super) fn tallies(&self, Place(offset): Place) -> &Tallies {
        // SAFETY: every `Place` is the offset of a `Tallies` in such an array.
        unsafe { &*ptr::from_ref(self).byte_add(offset).cast() }
    }
}

/// Where a thread's small requests are counted: in bytes from the first counter of [`Shards`], so
/// that a request has nothing to compute and nothing to check.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

impl Place {
    /// The counters that are read.
    pub(super) const fn own(number: usize) -> Self {
        assert!(number < OWN_NUMBERS, "others share one set");
        Self(number * size_of::<Shard>() + offset_of!(Shard, tallies))
    }

    /// Aside, where every request is over the limit; next to the counters of the `number`, so that
    /// two threads do not write the same line.
    pub(super) const fn aside(number: Option<usize>) -> Self {
        let index = match number {
            Some(number) if number < OWN_NUMBERS => number,
            _ => OWN_NUMBERS,
        };
        Self(index * size_of::<Shard>() + offset_of!(Shard, aside))
    }
}

/// Adds to a counter that only this thread writes. Returns what it is now.
#[inline]
pub(super) fn bump(counter: &AtomicU64, by: u64) -> u64 {
    let now = counter.load(Relaxed).wrapping_add(by);
    counter.store(now, Relaxed);
    now
}
