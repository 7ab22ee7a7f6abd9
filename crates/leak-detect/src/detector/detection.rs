//! One detection and the unlinking of what it found.

use rustc_hash::FxHashSet;

use crate::report::CycleReport;
use crate::trace::{Entry, Handle};

use super::confirm::Confirmed;
use super::describe::describe;
use super::snapshot::Snapshot;

/// A finished detection. Its handles may be the last owners; no lock is held.
pub(super) struct Detection {
    pub(super) report: CycleReport,
    handles: Vec<Box<dyn Handle>>,
    snapshot: Snapshot,
}

impl Detection {
    /// Runs a detection from the objects in `handles`.
    pub(super) fn of(mut handles: Vec<Box<dyn Handle>>) -> Detection {
        let mut snapshot = Snapshot::take(&mut handles);
        let confirmed = Confirmed::of(&mut snapshot, &handles);
        Detection {
            report: describe(&snapshot, confirmed, &handles),
            handles,
            snapshot,
        }
    }

    /// Unlinks each member of a leaked cycle that can be unlinked and whose address is not in
    /// `unlinked` yet. No object is dropped meanwhile, so rings of any length are dropped without
    /// recursion.
    pub(super) fn unlink(&self, unlinked: &mut FxHashSet<usize>) {
        for &member in self.report.cycles().iter().flat_map(|cycle| &cycle.members) {
            let handle = &self.handles[member];
            if let Some(object) = handle.unlinkable()
                && unlinked.insert(handle.address())
            {
                object.unlink();
            }
        }
    }

    /// Returns the leaked objects, and the other objects that they own directly. If the leaked objects
    /// are freed, the owned ones may no longer be reachable from a tracked object.
    pub(super) fn leaked(&self) -> Vec<Box<dyn Entry>> {
        let objects = self.report.objects();
        let leaked = |&index: &usize| objects[index].status.is_leaked();
        let mut entries: Vec<usize> = (0..objects.len()).filter(leaked).collect();
        let mut others: Vec<usize> = entries
            .iter()
            .flat_map(|&index| self.snapshot.targets(index))
            .copied()
            .filter(|index| !leaked(index))
            .collect();
        others.sort_unstable();
        others.dedup();
        entries.append(&mut others);
        entries
            .into_iter()
            .map(|index| self.handles[index].downgrade())
            .collect()
    }

    /// Returns the number of leaked objects.
    pub(super) fn leaked_count(&self) -> usize {
        let objects = self.report.objects();
        objects
            .iter()
            .filter(|object| object.status.is_leaked())
            .count()
    }
}
