//! The counters of one thread, and their lookup on the small-request path.

use std::cell::UnsafeCell;
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Number of running threads with their own counters. Further threads share one set, which is also
/// exact but uses atomic additions. 256 sets of 128 bytes are 32 KiB per allocator.
pub(super) const OWN_NUMBERS: usize = 256;

/// The counters that small requests update.
pub(super) struct Tallies {
    pub(super) allocations: AtomicU64,
    pub(super) allocated: AtomicU64,
    /// If `allocated` exceeds this limit, the slow path runs.
    pub(super) allocated_limit: Limit,
    pub(super) frees: AtomicU64,
    pub(super) freed: AtomicU64,
    /// The same limit for `freed`.
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

/// A limit that belongs to the [`Tallies`] that contain it. Not atomic: the compiler merges a load
/// and a comparison only if the load is plain.
pub(super) struct Limit(UnsafeCell<u64>);

// SAFETY: a limit of `Shard::tallies` is accessed only by the thread that owns the number, and the
// next owner sees all its writes (`numbers::release`). The limits of `Shard::aside` are read by any
// thread and never written.
unsafe impl Sync for Limit {}

impl Limit {
    const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    #[inline]
    pub(super) fn get(&self) -> u64 {
        // SAFETY: there is no concurrent write, as above.
        unsafe { *self.0.get() }
    }

    /// # Safety
    /// The limit must be part of the tallies of the calling thread's own number.
    pub(super) unsafe fn set(&self, limit: u64) {
        // SAFETY: there is no concurrent access, as above.
        unsafe { *self.0.get() = limit };
    }
}

/// All counters of one number. Occupies two cache lines, because processors fetch lines in pairs.
#[repr(C, align(128))]
pub(super) struct Shard {
    pub(super) tallies: Tallies,
    /// The portion of `allocated - freed` that is published to the common balance.
    pub(super) published: AtomicU64,
    pub(super) pool_allocations: AtomicU64,
    pub(super) pool_allocated: AtomicU64,
    /// Signed, in two's complement: a block may be freed on another thread.
    pub(super) padding: AtomicU64,
    /// Used instead of `tallies` if there is more to do than counting. Its counts are never read.
    /// Its limits stay 0, so that every request takes the slow path.
    aside: Tallies,
}

/// The size stated above.
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

/// The counters of all threads: one set per number, and one set shared by all threads without a
/// number.
pub(super) struct Shards([Shard; OWN_NUMBERS + 1]);

impl Shards {
    pub(super) const fn new() -> Self {
        Self([const { Shard::new() }; OWN_NUMBERS + 1])
    }

    /// Returns the counters of the thread that owns `number`.
    pub(super) fn own(&self, number: usize) -> &Shard {
        &self.0[number]
    }

    /// Returns the counters of threads without a number, which are written with atomic additions.
    pub(super) fn shared(&self) -> &Shard {
        &self.0[OWN_NUMBERS]
    }

    /// Returns all sets of counters, the shared one last.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.0.iter()
    }

    /// Returns the counters at an offset.
    #[inline]
    pub(super) fn tallies(&self, TallyOffset(offset): TallyOffset) -> &Tallies {
        // SAFETY: every `TallyOffset` is the offset of a `Tallies` in this array.
        unsafe { &*ptr::from_ref(self).byte_add(offset).cast() }
    }
}

/// The byte offset in [`Shards`] of the tallies for a thread's small requests. It is precomputed,
/// so that a request needs no arithmetic and no bounds check.
#[derive(Clone, Copy)]
pub(super) struct TallyOffset(usize);

impl TallyOffset {
    /// The offset of the tallies of `number`, whose counts are read.
    pub(super) const fn own(number: usize) -> Self {
        assert!(number < OWN_NUMBERS, "number must be below OWN_NUMBERS");
        Self(number * size_of::<Shard>() + offset_of!(Shard, tallies))
    }

    /// The offset of the `aside` tallies, where every request takes the slow path. They are next to
    /// the counters of `number`, so that two threads do not write to the same cache line.
    pub(super) const fn aside(number: Option<usize>) -> Self {
        let index = match number {
            Some(number) if number < OWN_NUMBERS => number,
            _ => OWN_NUMBERS,
        };
        Self(index * size_of::<Shard>() + offset_of!(Shard, aside))
    }
}

/// Adds to a counter that only this thread writes. Returns the new value.
#[inline]
pub(super) fn bump(counter: &AtomicU64, by: u64) -> u64 {
    let now = counter.load(Relaxed).wrapping_add(by);
    counter.store(now, Relaxed);
    now
}
