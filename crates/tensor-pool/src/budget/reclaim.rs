//! Things that can free memory when a reservation does not fit.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Weak};

use super::sync::{Mutex, lock};

thread_local! {
    /// Whether this thread is inside a reclaimer.
    static RECLAIMING: Cell<bool> = const { Cell::new(false) };
}

struct Reclaimer {
    priority: i32,
    reclaim: Box<dyn Fn(u64) + Send + Sync>,
}

/// Keeps a reclaimer in its budget; [`Budget::add_reclaimer`](super::Budget::add_reclaimer) gives it.
///
/// Once it is dropped the reclaimer is not asked again. A call that another thread is in the middle
/// of is not waited for.
#[must_use = "the reclaimer is removed when this is dropped"]
pub struct ReclaimerHandle(Arc<Reclaimer>);

impl fmt::Debug for ReclaimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReclaimerHandle")
            .field("priority", &self.0.priority)
            .finish_non_exhaustive()
    }
}

/// The reclaimers of one budget, in the order in which they are asked. Their handles own them.
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
        let place = list.partition_point(|&(other, _)| other <= priority);
        list.insert(place, (priority, Arc::downgrade(&reclaimer)));
        ReclaimerHandle(reclaimer)
    }

    /// Asks one after the other until nothing is missing. No lock is held meanwhile.
    pub(super) fn ask(&self, missing: impl Fn() -> u64) {
        if missing() == 0 {
            return;
        }
        let list = lock(&self.0).clone();
        for (_, reclaimer) in list {
            let Some(reclaimer) = reclaimer.upgrade() else {
                continue;
            };
            match missing() {
                0 => return,
                bytes => (reclaimer.reclaim)(bytes),
            }
        }
    }
}

/// Runs `ask` unless this thread is inside a reclaimer already: one that reserves must not be asked
/// to make room for itself, and so on without end. Whether it ran.
pub(super) fn unless_reclaiming(ask: impl FnOnce()) -> bool {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            RECLAIMING.set(false);
        }
    }
    if RECLAIMING.replace(true) {
        return false;
    }
    let _leave = Leave;
    ask();
    true
}
