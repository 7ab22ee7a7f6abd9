//! Counters of granted and freed memory.
//!
//! Every running thread adds to its own counters with plain loads and stores, without atomic
//! read-modify-write. All threads may read them. The sums include idle threads and are exact when
//! no thread allocates or frees.
//!
//! A peak cannot be derived from these counters later. Each thread therefore also publishes the
//! changes of its balance to one common balance: immediately for large requests, otherwise in
//! steps. The common balance never exceeds the live bytes and is at most [`QUANTUM`] per thread
//! below them.
//!
//! The path of a small request is minimal: find the counters, add to two of them, and compare one
//! with a limit. Everything else, such as the first registration of a thread, is done only when the
//! limit is exceeded.

use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicI64, AtomicU64};

use super::peaks::{Peaks, WindowId};
use super::shard::{OWN_NUMBERS, Shard, Shards, bump};
use super::tally::Activity;
use super::thread;

/// Maximum live bytes of a thread that are not published to the common balance. Half of the
/// smallest pooled block: with eight threads the peak is exact to 256 KiB, and one of several
/// hundred allocations costs an atomic addition.
pub(super) const QUANTUM: u64 = 32 << 10;

/// The change of all counters by one operation.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    pub(super) allocations: u64,
    pub(super) allocated: u64,
    pub(super) frees: u64,
    pub(super) freed: u64,
    pub(super) pool_allocations: u64,
    pub(super) pool_allocated: u64,
    /// Signed, in two's complement.
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

/// Whether the pending counts of a thread exceed its limits.
fn is_over_limit(shard: &Shard) -> bool {
    let tallies = &shard.tallies;
    tallies.allocated.load(Relaxed) > tallies.allocated_limit.get()
        || tallies.freed.load(Relaxed) > tallies.freed_limit.get()
}

/// Selects when [`apply`](Counts::apply) publishes a change: immediately for `Large`, above the
/// limit for `Small`.
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
    /// Upper bound of the error of the peak, in bytes.
    pub(super) slack: u64,
}

pub(super) struct Counts {
    shards: Shards,
    /// The sum of the published balances of all threads.
    common: AtomicI64,
    peaks: Peaks,
}

impl Counts {
    pub(super) const fn new() -> Self {
        Self {
            shards: Shards::new(),
            common: AtomicI64::new(0),
            peaks: Peaks::new(),
        }
    }

    /// Identifies this allocator to the threads that track it in a scope.
    #[inline]
    pub(super) fn id(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// Counts a granted small request (`requests` = 1), or a small block that grew in place (0). If
    /// this returns `false`, the caller must call [`finish`](Self::finish).
    #[inline]
    #[must_use]
    pub(super) fn grew(&self, requests: u64, bytes: usize) -> bool {
        let tallies = self.shards.tallies(thread::tally_offset());
        if requests > 0 {
            bump(&tallies.allocations, requests);
        }
        bump(&tallies.allocated, bytes as u64) <= tallies.allocated_limit.get()
    }

    /// Counts a freed small block (`blocks` = 1), or one that shrank in place (0). If this returns
    /// `false`, the caller must call [`finish`](Self::finish).
    #[inline]
    #[must_use]
    pub(super) fn shrank(&self, blocks: u64, bytes: usize) -> bool {
        let tallies = self.shards.tallies(thread::tally_offset());
        if blocks > 0 {
            bump(&tallies.frees, blocks);
        }
        bump(&tallies.freed, bytes as u64) <= tallies.freed_limit.get()
    }

    /// Completes a small change after [`grew`](Self::grew) or [`shrank`](Self::shrank) returned
    /// `false`.
    pub(super) fn finish(&self, change: Change) {
        match thread::plain_number() {
            // The change is already counted, only publishing is left.
            Some(number) => self.publish(self.shards.own(number)),
            None => self.apply(change, Size::Small),
        }
    }

    /// Counts a change of a large block and publishes it immediately.
    pub(super) fn apply_large(&self, change: Change) {
        self.apply(change, Size::Large);
    }

    /// Counts a change of any size.
    #[inline(never)]
    fn apply(&self, change: Change, size: Size) {
        if let Some(number) = thread::own_number() {
            let shard = self.shards.own(number);
            for (counter, by) in change.counters(shard) {
                bump(counter, by);
            }
            match size {
                Size::Large => self.publish_change(shard, change),
                Size::Small if is_over_limit(shard) => self.publish(shard),
                Size::Small => {}
            }
        } else {
            for (counter, by) in change.counters(self.shards.shared()) {
                counter.fetch_add(by, Relaxed);
            }
            self.move_common(change.balance());
        }
        if thread::tracked() == self.id() {
            thread::track(Activity {
                allocations: change.allocations,
                allocated: change.allocated,
                frees: change.frees,
                freed: change.freed,
            });
        }
    }

    /// Publishes one change without the pending bytes of earlier small requests. `shard` belongs to
    /// this thread.
    fn publish_change(&self, shard: &Shard, change: Change) {
        let tallies = &shard.tallies;
        for (limit, by) in [
            (&tallies.allocated_limit, change.allocated),
            (&tallies.freed_limit, change.freed),
        ] {
            // SAFETY: the shard belongs to this thread.
            unsafe { limit.set(limit.get().wrapping_add(by)) };
        }
        bump(&shard.published, change.balance() as u64);
        self.move_common(change.balance());
    }

    /// Publishes all but half a quantum.
    ///
    /// Afterwards the thread can allocate or free half a quantum, in any order, before the next
    /// call. Between zero and one quantum is pending during that time. `shard` belongs to this
    /// thread.
    #[cold]
    fn publish(&self, shard: &Shard) {
        let tallies = &shard.tallies;
        let [allocated, freed] =
            [&tallies.allocated, &tallies.freed].map(|counter| counter.load(Relaxed));
        for (limit, now) in [
            (&tallies.allocated_limit, allocated),
            (&tallies.freed_limit, freed),
        ] {
            // SAFETY: the shard belongs to this thread.
            unsafe { limit.set(now.wrapping_add(QUANTUM / 2)) };
        }
        let target = allocated.wrapping_sub(freed).wrapping_sub(QUANTUM / 2);
        let by = target.wrapping_sub(shard.published.load(Relaxed));
        bump(&shard.published, by);
        self.move_common(by as i64);
    }

    fn move_common(&self, by: i64) {
        let balance = self.common.fetch_add(by, SeqCst).wrapping_add(by);
        if by > 0 {
            self.peaks.raise(balance);
        }
    }

    /// Returns the common balance: the live bytes minus up to [`QUANTUM`] per thread. O(1).
    pub(super) fn balance(&self) -> u64 {
        self.common.load(SeqCst).max(0) as u64
    }

    pub(super) fn peak(&self) -> u64 {
        self.peaks.overall()
    }

    pub(super) fn reset_peak(&self) {
        self.peaks.restart_overall(&self.common);
    }

    /// Opens a window with its own peak.
    pub(super) fn open_window(&self) -> WindowId {
        self.peaks.open(&self.common)
    }

    /// Returns the maximum balance since a window was opened.
    pub(super) fn window_peak(&self, window: WindowId) -> u64 {
        self.peaks.of(window)
    }

    pub(super) fn close_window(&self, window: WindowId) {
        self.peaks.close(window);
    }

    /// Returns the number of requests in the counters of this thread.
    pub(super) fn of_this_thread(&self) -> u64 {
        let shard = match thread::own_number() {
            Some(number) => self.shards.own(number),
            None => self.shards.shared(),
        };
        shard.tallies.allocations.load(Relaxed)
    }

    /// Returns the sums over all threads. They are exact if no thread allocates or frees.
    /// O([`OWN_NUMBERS`]).
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
            // A thread may have resized blocks of other threads without an allocation of its own.
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
