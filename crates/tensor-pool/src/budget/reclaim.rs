//! Callbacks that free memory when a reservation does not fit.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Weak};

use super::sync::{Mutex, lock};

thread_local! {
    /// Whether this thread is running a reclaimer.
    static RECLAIMING: Cell<bool> = const { Cell::new(false) };
}

struct Reclaimer {
    priority: i32,
    reclaim: Box<dyn Fn(u64) + Send + Sync>,
}

/// The owner of a reclaimer, returned by [`Budget::add_reclaimer`](super::Budget::add_reclaimer).
///
/// Dropping the handle removes the reclaimer from its budget. The drop does not wait for a call
/// that another thread is running.
#[must_use = "dropping the handle removes the reclaimer"]
pub struct ReclaimerHandle(Arc<Reclaimer>);

impl fmt::Debug for ReclaimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReclaimerHandle")
            .field("priority", &self.0.priority)
            .finish_non_exhaustive()
    }
}

/// The reclaimers of one budget, in the order in which they run. Their handles own them.
pub(super) struct Reclaimers(Mutex<Vec<(i32, Weak<Reclaimer>)>>);

impl Reclaimers {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(super) fn add(
        &self,
        priority: i32,
        reclaim: Box<dyn Fn(u64) + Send + Sync>,
    ) -> ReclaimerHandle {
        let reclaimer = Arc::new(Reclaimer { priority, reclaim });
        let mut list = lock(&self.0);
        list.retain(|(_, reclaimer)| reclaimer.strong_count() > 0);
        let index = list.partition_point(|&(other, _)| other <= priority);
        list.insert(index, (priority, Arc::downgrade(&reclaimer)));
        ReclaimerHandle(reclaimer)
    }

    /// Runs one reclaimer after the other until no bytes are missing. No lock is held meanwhile.
    /// Returns whether no bytes are missing at the end.
    pub(super) fn run(&self, missing: impl Fn() -> u64) -> bool {
        if missing() == 0 {
            return true;
        }
        let list = lock(&self.0).clone();
        for (_, reclaimer) in list {
            let Some(reclaimer) = reclaimer.upgrade() else {
                continue;
            };
            match missing() {
                0 => return true,
                bytes => (reclaimer.reclaim)(bytes),
            }
        }
        missing() == 0
    }
}

/// Runs `run` unless this thread is already running a reclaimer: a reservation inside a reclaimer
/// must not start reclaimers recursively. Returns the result of `run`, or `false` if it did not run.
pub(super) fn unless_reclaiming(run: impl FnOnce() -> bool) -> bool {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            RECLAIMING.set(false);
        }
    }
    if RECLAIMING.replace(true) {
        return false;
    }
    let _reset = Reset;
    run()
}
