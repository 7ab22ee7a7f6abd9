//! Memory that can be freed when it is short.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Something that holds memory which work can do without, such as a cache.
pub trait Reclaim: Send + Sync {
    /// Returns the counted bytes that [`Self::reclaim`] would free.
    fn reclaimable_bytes(&self) -> u64;

    /// Frees the memory. Runs on the thread of an admission or of a stream, while no lock of the ledger
    /// is held.
    fn reclaim(&self);
}

/// Weak references to everything that can free memory.
#[derive(Default)]
pub(super) struct Reclaimers(Mutex<Vec<Weak<dyn Reclaim>>>);

impl Reclaimers {
    pub(super) fn add(&self, reclaimer: Weak<dyn Reclaim>) {
        let mut reclaimers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reclaimers.retain(|reclaimer| reclaimer.strong_count() > 0);
        reclaimers.push(reclaimer);
    }

    /// Returns the bytes that can be freed.
    pub(super) fn bytes(&self) -> u64 {
        let all = self.all();
        all.iter().map(|one| one.reclaimable_bytes()).sum()
    }

    /// Frees everything that can be freed.
    pub(super) fn run(&self) {
        for reclaimer in self.all() {
            reclaimer.reclaim();
        }
    }

    fn all(&self) -> Vec<Arc<dyn Reclaim>> {
        let reclaimers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reclaimers.iter().filter_map(Weak::upgrade).collect()
    }
}
