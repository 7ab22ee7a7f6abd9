//! The counts of open scopes: of one thread, and of several.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

/// The allocations and frees of this thread since its outermost open scope was opened.
#[derive(Clone, Copy)]
pub(super) struct Tally {
    pub(super) allocations: u64,
    pub(super) allocated: u64,
    pub(super) frees: u64,
    pub(super) freed: u64,
    /// The maximum of `balance` since the innermost open scope was opened.
    pub(super) peak: i64,
    /// The innermost open scope.
    pub(super) name: Option<&'static str>,
    /// Number of open scopes.
    pub(super) depth: usize,
}

impl Tally {
    pub(super) const NONE: Self = Self {
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

    pub(super) fn add(&mut self, activity: Activity) {
        self.allocations += activity.allocations;
        self.allocated += activity.allocated;
        self.frees += activity.frees;
        self.freed += activity.freed;
        self.peak = self.peak.max(self.balance());
    }
}

/// The portion of a change that scopes count.
#[derive(Clone, Copy)]
pub(super) struct Activity {
    pub(super) allocations: u64,
    pub(super) allocated: u64,
    pub(super) frees: u64,
    pub(super) freed: u64,
}

/// The allocations and frees of all threads while they were inside a shared scope.
#[derive(Default)]
pub(super) struct SharedTally {
    pub(super) allocations: AtomicU64,
    pub(super) allocated: AtomicU64,
    pub(super) frees: AtomicU64,
    pub(super) freed: AtomicU64,
    balance: AtomicI64,
    pub(super) peak: AtomicI64,
    /// Whether a thread could not be counted, because it was inside too many shared scopes.
    pub(super) is_incomplete: AtomicBool,
}

impl SharedTally {
    pub(super) fn add(&self, activity: Activity) {
        for (counter, by) in [
            (&self.allocations, activity.allocations),
            (&self.allocated, activity.allocated),
            (&self.frees, activity.frees),
            (&self.freed, activity.freed),
        ] {
            if by > 0 {
                counter.fetch_add(by, Relaxed);
            }
        }
        let change = activity.allocated.wrapping_sub(activity.freed) as i64;
        let balance = self.balance.fetch_add(change, Relaxed).wrapping_add(change);
        if change > 0 {
            self.peak.fetch_max(balance, Relaxed);
        }
    }
}
