//! Counting what an allocator grants and takes back.
//!
//! Every living thread adds to counters that only it writes (plain loads and stores, no atomic
//! read-modify-write), which anyone may read: their sums are exact as soon as threads are quiet,
//! idle ones included. A peak cannot be read from counters afterwards, so each thread also tells one
//! common balance how far its own has moved: at once for large requests, else after a while. At any
//! time the common balance is short of the live bytes by no more than [`QUANTUM`] per thread, and
//! never above them.
//!
//! A small request has to cost next to nothing: it finds its counters, adds to two of them and
//! compares one with a limit. Whatever else there is to do, such as to ask for counters at all, is
//! found out by exceeding the limit.

use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicI64, AtomicU64};

use super::roster::{Entry, Roster};
use super::shard::{OWN_NUMBERS, Shard, Shards, bump};
use super::thread;

/// How many of a thread's live bytes the common balance may not know of. Half of the smallest pooled
/// block: with eight threads the peak is known to 256 KiB, and one allocation in hundreds pays for
/// an atomic addition.
pub(super) const QUANTUM: u64 = 32 << 10;

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
    fn balance(self) -> i64 {
        self.allocated.wrapping_sub(self.freed) as i64
    }

    fn counters(self, shard: &Shard) -> [(&AtomicU64, u64); 7] {
        [
            (&shard.tallies.allocations, self.allocations),
            (&shard.tallies.allocated, self.allocated),
            (&shard.tallies.frees, self.frees),
            (&shard.tallies.freed, self.freed),
            (&shard.pool_allocations, self.pool_allocations),
            (&shard.pool_allocated, self.pool_allocated),
            (&shard.padding, self.padding),
        ]
    }
}

/// Whether a thread's unpublished counts exceed what it may hold back from the common balance.
fn is_over_limit(shard: &Shard) -> bool {
    let tallies = &shard.tallies;
    tallies.allocated.load(Relaxed) > tallies.allocated_limit.get()
        || tallies.freed.load(Relaxed) > tallies.freed_limit.get()
}

/// Whether [`apply`](Counts::apply) tells the common balance at once.
#[derive(Clone, Copy)]
enum Size {
    Small,
    Large,
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
    shards: Shards,
    /// The sum of the balances that threads have published.
    common: AtomicI64,
    peak: Peak,
    windows: Roster<Peak>,
}

impl Counts {
    pub(super) const fn new() -> Self {
        Self {
            shards: Shards::new(),
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

    /// A small request was granted (`requests` = 1), or a small block grew in place (0). Where this
    /// is `false`, [`finish`](Self::finish) has the rest to do.
    #[inline]
    #[must_use]
    pub(super) fn grew(&self, requests: u64, bytes: usize) -> bool {
        let tallies = self.shards.tallies(thread::place());
        if requests > 0 {
            bump(&tallies.allocations, requests);
        }
        bump(&tallies.allocated, bytes as u64) <= tallies.allocated_limit.get()
    }

    /// A small block was freed (`blocks` = 1), or shrank in place (0). Where this is `false`,
    /// [`finish`](Self::finish) has the rest to do.
    #[inline]
    #[must_use]
    pub(super) fn shrank(&self, blocks: u64, bytes: usize) -> bool {
        let tallies = self.shards.tallies(thread::place());
        if blocks > 0 {
            bump(&tallies.frees, blocks);
        }
        bump(&tallies.freed, bytes as u64) <= tallies.freed_limit.get()
    }

    /// Does for a small change what [`grew`](Self::grew) or [`shrank`](Self::shrank) left.
    pub(super) fn finish(&self, change: Change) {
        match thread::plain_number() {
            // It is counted.
            Some(number) => self.tell(self.shards.own(number)),
            None => self.apply(change, Size::Small),
        }
    }

    /// Counts what happened to a large block, and tells the common balance at once.
    pub(super) fn apply_large(&self, change: Change) {
        self.apply(change, Size::Large);
    }

    /// Counts anything.
    #[inline(never)]
    fn apply(&self, change: Change, size: Size) {
        if let Some(number) = thread::own_number() {
            let shard = self.shards.own(number);
            for (counter, by) in change.counters(shard) {
                bump(counter, by);
            }
            match size {
                Size::Large => self.tell_all_of(shard, change),
                Size::Small if is_over_limit(shard) => self.tell(shard),
                Size::Small => {}
            }
        } else {
            for (counter, by) in change.counters(self.shards.shared()) {
                counter.fetch_add(by, Relaxed);
            }
            self.move_common(change.balance());
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

    /// Tells the common balance of one change, as if it had not been counted in the thread's: what
    /// small requests left pending stays pending. `shard` is this thread's own.
    fn tell_all_of(&self, shard: &Shard, change: Change) {
        let tallies = &shard.tallies;
        for (limit, by) in [
            (&tallies.allocated_limit, change.allocated),
            (&tallies.freed_limit, change.freed),
        ] {
            // SAFETY: it is this thread's own.
            unsafe { limit.set(limit.get().wrapping_add(by)) };
        }
        bump(&shard.published, change.balance() as u64);
        self.move_common(change.balance());
    }

    /// Publishes all but half a quantum. Until the thread has allocated, or freed, half a quantum more,
    /// between none and a whole one is then pending, in whatever order it does so. `shard` is this
    /// thread's own.
    #[cold]
    fn tell(&self, shard: &Shard) {
        let tallies = &shard.tallies;
        let [allocated, freed] =
            [&tallies.allocated, &tallies.freed].map(|counter| counter.load(Relaxed));
        for (limit, now) in [
            (&tallies.allocated_limit, allocated),
            (&tallies.freed_limit, freed),
        ] {
            // SAFETY: it is this thread's own.
            unsafe { limit.set(now.wrapping_add(QUANTUM / 2)) };
        }
        let to_tell = allocated.wrapping_sub(freed).wrapping_sub(QUANTUM / 2);
        let by = to_tell.wrapping_sub(shard.published.load(Relaxed));
        bump(&shard.published, by);
        self.move_common(by as i64);
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

    /// The common balance: live bytes, less up to [`QUANTUM`] per thread. O(1).
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
        let shard = match thread::own_number() {
            Some(number) => self.shards.own(number),
            None => self.shards.shared(),
        };
        shard.tallies.allocations.load(Relaxed)
    }

    /// Sums over all threads; exact if they are quiet. O([`OWN_NUMBERS`]).
    pub(super) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for (index, shard) in self.shards.iter().enumerate() {
            let tallies = &shard.tallies;
            let [allocations, allocated, frees, freed] = [
                &tallies.allocations,
                &tallies.allocated,
                &tallies.frees,
                &tallies.freed,
            ]
            .map(|counter| counter.load(Relaxed));
            // A thread may also have done nothing but resize blocks of others.
            if (allocations, allocated, frees, freed) == (0, 0, 0, 0) {
                continue;
            }
            sum.allocations += allocations;
            sum.allocated = sum.allocated.wrapping_add(allocated);
            sum.frees += frees;
            sum.freed = sum.freed.wrapping_add(freed);
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
