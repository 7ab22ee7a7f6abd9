//! Counting what an allocator grants and takes back.
//!
//! Every living thread adds to counters that only it writes (plain loads and stores, no atomic
//! read-modify-write), which anyone may read: their sums are exact as soon as threads are quiet,
//! idle ones included. A peak cannot be read from counters afterwards, so each thread also tells one
//! common balance how far its own has moved: at once for large requests, else when that is more than
//! [`QUANTUM`]. The common balance is thus never further from the truth than that per thread.

use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicI64, AtomicU64};

use super::roster::{Entry, Roster};
use super::thread::{self, OWN_NUMBERS};

/// How far a thread's balance may move before the common one learns of it. A quarter of the smallest
/// pooled block: with eight threads the peak is known to 128 KiB, and one allocation in hundreds
/// pays for an atomic addition.
pub(super) const QUANTUM: u64 = 16 << 10;

/// One thread's counters, on a cache line of their own.
#[repr(align(64))]
struct Shard {
    allocations: AtomicU64,
    allocated: AtomicU64,
    frees: AtomicU64,
    freed: AtomicU64,
    pool_allocations: AtomicU64,
    pool_allocated: AtomicU64,
    /// Signed, as two's complement: a block may be freed on another thread.
    padding: AtomicU64,
    /// The part of `allocated - freed` that the common balance knows.
    told: AtomicU64,
}

impl Shard {
    const fn new() -> Self {
        Self {
            allocations: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
            frees: AtomicU64::new(0),
            freed: AtomicU64::new(0),
            pool_allocations: AtomicU64::new(0),
            pool_allocated: AtomicU64::new(0),
            padding: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// How far this thread's balance has moved since the common one learnt of it.
    #[inline]
    fn untold(&self) -> i64 {
        let balance = self
            .allocated
            .load(Relaxed)
            .wrapping_sub(self.freed.load(Relaxed));
        balance.wrapping_sub(self.told.load(Relaxed)) as i64
    }
}

/// Adds to a counter that only this thread writes.
#[inline]
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

/// One thing that happened.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    pub(super) allocations: u64,
    pub(super) allocated: u64,
    pub(super) frees: u64,
    pub(super) freed: u64,
    pub(super) pool_allocations: u64,
    pub(super) pool_allocated: u64,
    /// Signed, as two's complement.
    pub(super) padding: u64,
}

impl Change {
    fn counters(self, shard: &Shard) -> [(&AtomicU64, u64); 7] {
        [
            (&shard.allocations, self.allocations),
            (&shard.allocated, self.allocated),
            (&shard.frees, self.frees),
            (&shard.freed, self.freed),
            (&shard.pool_allocations, self.pool_allocations),
            (&shard.pool_allocated, self.pool_allocated),
            (&shard.padding, self.padding),
        ]
    }
}

/// Sums over all threads.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) allocations: u64,
    pub(super) allocated: u64,
    pub(super) frees: u64,
    pub(super) freed: u64,
    pub(super) pool_allocations: u64,
    pub(super) pool_allocated: u64,
    pub(super) padding: u64,
    /// The peak is known to this many bytes.
    pub(super) slack: u64,
}

/// The greatest common balance since it was last reset.
#[derive(Default)]
pub(super) struct Peak(AtomicI64);

impl Peak {
    const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    fn raise(&self, balance: i64) {
        if self.0.load(SeqCst) < balance {
            self.0.fetch_max(balance, SeqCst);
        }
    }

    fn get(&self) -> u64 {
        self.0.load(SeqCst).max(0) as u64
    }
}

pub(super) struct Counts {
    /// By the number of the thread.
    own: [Shard; OWN_NUMBERS],
    /// For threads without a number: written with atomic additions.
    shared: Shard,
    /// What threads told of their balances.
    common: AtomicI64,
    peak: Peak,
    windows: Roster<Peak>,
}

impl Counts {
    pub(super) const fn new() -> Self {
        Self {
            own: [const { Shard::new() }; OWN_NUMBERS],
            shared: Shard::new(),
            common: AtomicI64::new(0),
            peak: Peak::new(),
            windows: Roster::new(),
        }
    }

    /// What a thread follows while a scope is open.
    #[inline]
    pub(super) fn id(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// A small request was granted (`requests` = 1), or a small block grew in place (0).
    #[inline]
    pub(super) fn grew(&self, requests: u64, bytes: u64) {
        let Some(shard) = self.own.get(thread::plain_number()) else {
            return self.grew_with_more_to_do(requests, bytes);
        };
        if requests > 0 {
            bump(&shard.allocations, requests);
        }
        bump(&shard.allocated, bytes);
        let untold = shard.untold();
        if untold > QUANTUM as i64 {
            self.tell(shard, untold);
        }
    }

    /// A small block was freed (`blocks` = 1), or shrank in place (0).
    #[inline]
    pub(super) fn shrank(&self, blocks: u64, bytes: u64) {
        let Some(shard) = self.own.get(thread::plain_number()) else {
            return self.shrank_with_more_to_do(blocks, bytes);
        };
        if blocks > 0 {
            bump(&shard.frees, blocks);
        }
        bump(&shard.freed, bytes);
        let untold = shard.untold();
        if untold < -(QUANTUM as i64) {
            self.tell(shard, untold);
        }
    }

    // Apart, so that the paths above need no stack.
    #[cold]
    fn grew_with_more_to_do(&self, allocations: u64, allocated: u64) {
        let change = Change {
            allocations,
            allocated,
            ..Change::default()
        };
        self.apply(change, QUANTUM);
    }

    #[cold]
    fn shrank_with_more_to_do(&self, frees: u64, freed: u64) {
        let change = Change {
            frees,
            freed,
            ..Change::default()
        };
        self.apply(change, QUANTUM);
    }

    /// Counts what happened to a large block, and tells the common balance at once.
    pub(super) fn apply_large(&self, change: Change) {
        self.apply(change, 0);
    }

    /// Counts anything. The common balance learns of it where it would else be off by more than
    /// `slack`.
    #[inline(never)]
    fn apply(&self, change: Change, slack: u64) {
        match thread::own_number().and_then(|number| self.own.get(number)) {
            Some(shard) => {
                for (counter, by) in change.counters(shard) {
                    bump(counter, by);
                }
                let untold = shard.untold();
                if untold.unsigned_abs() > slack {
                    self.tell(shard, untold);
                }
            }
            None => {
                for (counter, by) in change.counters(&self.shared) {
                    counter.fetch_add(by, Relaxed);
                }
                self.move_common(change.allocated.wrapping_sub(change.freed) as i64);
            }
        }
        if thread::followed() == self.id() {
            thread::follow(
                change.allocations,
                change.allocated,
                change.frees,
                change.freed,
            );
        }
    }

    #[cold]
    fn tell(&self, shard: &Shard, untold: i64) {
        bump(&shard.told, untold as u64);
        self.move_common(untold);
    }

    fn move_common(&self, by: i64) {
        let balance = self.common.fetch_add(by, SeqCst).wrapping_add(by);
        if by > 0 {
            self.peak.raise(balance);
            for (_, window) in self.windows.open_entries() {
                window.raise(balance);
            }
        }
    }

    /// The common balance: live bytes, to within [`QUANTUM`] per thread. O(1).
    pub(super) fn balance(&self) -> u64 {
        self.common.load(SeqCst).max(0) as u64
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak.get()
    }

    pub(super) fn reset_peak(&self) {
        self.restart(&self.peak);
    }

    /// A peak of its own, from here on. Close the entry to end it.
    pub(super) fn open_window(&self) -> &Entry<Peak> {
        const NAME: usize = 2;
        let entry = self.windows.open(NAME, |_| ());
        self.restart(entry.value());
        entry
    }

    /// The greatest balance in an open window.
    pub(super) fn window_peak(window: &Entry<Peak>) -> u64 {
        window.value().get()
    }

    /// First down, then up to the balance: a thread that raises the peak in between is not lost.
    fn restart(&self, peak: &Peak) {
        peak.0.store(0, SeqCst);
        peak.raise(self.common.load(SeqCst));
    }

    /// How many requests this thread's counters hold.
    pub(super) fn of_this_thread(&self) -> u64 {
        thread::own_number()
            .and_then(|number| self.own.get(number))
            .unwrap_or(&self.shared)
            .allocations
            .load(Relaxed)
    }

    /// Sums over all threads; exact if they are quiet. O([`OWN_NUMBERS`]).
    pub(super) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for (index, shard) in self.own.iter().chain([&self.shared]).enumerate() {
            let allocations = shard.allocations.load(Relaxed);
            let frees = shard.frees.load(Relaxed);
            if allocations == 0 && frees == 0 {
                continue;
            }
            sum.allocations += allocations;
            sum.frees += frees;
            sum.allocated = sum.allocated.wrapping_add(shard.allocated.load(Relaxed));
            sum.freed = sum.freed.wrapping_add(shard.freed.load(Relaxed));
            sum.pool_allocations += shard.pool_allocations.load(Relaxed);
            sum.pool_allocated += shard.pool_allocated.load(Relaxed);
            sum.padding = sum.padding.wrapping_add(shard.padding.load(Relaxed));
            if index < OWN_NUMBERS {
                sum.slack += QUANTUM;
            }
        }
        sum
    }
}
