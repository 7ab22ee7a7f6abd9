//! The tracked objects of a detector.

use rustc_hash::{FxBuildHasher, FxHashSet};

use crate::trace::{Entry, Handle};

/// Registries smaller than this are not purged.
const MIN_PURGE: usize = 8;

/// Weak references in order of tracking. An entry keeps the allocation of its object (not the object), so
/// addresses are unique.
pub(super) struct Registry {
    entries: Vec<(usize, Box<dyn Entry>)>,
    addresses: FxHashSet<usize>,
    purge_at: usize,
}

impl Registry {
    pub(super) const fn new() -> Self {
        Registry {
            entries: Vec::new(),
            addresses: FxHashSet::with_hasher(FxBuildHasher),
            purge_at: MIN_PURGE,
        }
    }

    /// Adds an object. Amortised O(1): dead entries are purged each time the registry has doubled.
    pub(super) fn insert(&mut self, object: &dyn Handle) {
        let address = object.address();
        if !self.addresses.insert(address) {
            return;
        }
        self.entries.push((address, object.downgrade()));
        if self.entries.len() >= self.purge_at {
            self.purge();
        }
    }

    /// Drops the entries of dead objects, which frees their allocations without running user code.
    pub(super) fn purge(&mut self) {
        let addresses = &mut self.addresses;
        self.entries.retain(|(address, entry)| {
            let dead = entry.is_dead();
            if dead {
                addresses.remove(address);
            }
            !dead
        });
        self.purge_at = self.entries.len().saturating_mul(2).max(MIN_PURGE);
        self.entries.shrink_to(self.purge_at);
        self.addresses.shrink_to(self.purge_at);
    }

    pub(super) fn live_count(&self) -> usize {
        self.entries
            .iter()
            .filter(|(_, entry)| !entry.is_dead())
            .count()
    }

    /// Returns a strong handle to each live object.
    pub(super) fn handles(&self) -> Vec<Box<dyn Handle>> {
        self.entries
            .iter()
            .filter_map(|(_, entry)| entry.upgrade())
            .collect()
    }
}
