//! The detector of reference cycles.

mod components;
mod confirm;
mod registry;
mod snapshot;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::report::{BrokenCycles, Cycle, CycleReport, Object, ObjectStatus, Ownership, PathEdge};
use crate::trace::{Handle, Trace};

use components::{cyclic_components, shortest_cycle};
use confirm::Confirmed;
use registry::Registry;
use snapshot::Snapshot;

/// Finds leaked cycles: `Arc`s that only own each other.
///
/// An object is *leaked* if no external owner leads to it through a chain of `Arc`s. External owners are
/// all owners that the detector does not trace: the stack, closures, channels, skipped fields, untracked
/// objects that are unreachable from tracked ones, and values behind a locked lock. The number of an
/// object's external owners is its strong count minus the `Arc`s found in other objects minus the
/// detector's own handle.
///
/// # Guarantees
///
/// - Between calls the detector stores only [`Weak`](std::sync::Weak)s, so strong counts are unaffected.
/// - Leaks may be missed, but there are no false reports. Without concurrent changes the result is exact
///   for everything that can be traced. While other threads move `Arc`s, a cycle is reported only if a
///   second pass, which holds every lock of the suspects, finds the same members, edges and counts. The
///   counts are read repeatedly in random order. Suspects that differ are
///   [unsettled](ObjectStatus::Unsettled). Plain `Arc`s have no atomic snapshot of several counts, so
///   the guarantee is probabilistic: the probability of a false report is below one in 4 * 10^8 for
///   each live cycle that both passes mistook for a leaked one.
/// - The detector never blocks on a lock of the program. It calls only [`Trace`] and, in
///   [`break_cycles`](Self::break_cycles), [`Unlink`](crate::Unlink). Objects whose last owner is the
///   detector are dropped after all locks are released, so their `Drop` may call the detector.
///
/// # Side effects
///
/// During a detection each visited object has one more owner, so `Arc::try_unwrap`, `Arc::into_inner`
/// and `Arc::get_mut` may fail and `Arc::make_mut` may copy. The detection locks each free lock
/// (`RwLock`s for reading), so other threads may wait briefly and `try_lock` may fail. Concurrent
/// detections over the same objects count each other's handles as external owners and find nothing.
///
/// Tracking has the side effects of a `Weak`: `Arc::get_mut` fails, and `Arc::make_mut` moves the value
/// to a new allocation (the old one counts as dead). The allocation of a dead object, without its value,
/// remains until the next purge: at each detection and whenever the registry has doubled.
///
/// A cycle that is still reachable through a `Weak` is reported, since only the cycle keeps itself alive.
///
/// ```
/// use leak_detect::{ReferenceCycleDetector, Trace};
/// use std::sync::{Arc, Mutex};
///
/// #[derive(Trace, Default)]
/// struct Session {
///     decoder: Mutex<Option<Arc<Decoder>>>,
/// }
///
/// #[derive(Trace)]
/// struct Decoder {
///     owner: Arc<Session>,
/// }
///
/// let detector = ReferenceCycleDetector::new();
/// let session = Arc::new(Session::default());
/// detector.track_object(&session);
/// let decoder = Arc::new(Decoder { owner: Arc::clone(&session) });
/// *session.decoder.lock().unwrap() = Some(decoder);
///
/// assert_eq!(detector.detect_cycles(), 0); // `session` is an external owner
/// drop(session);
/// let report = detector.report();
/// assert_eq!(report.objects_in_cycles(), 2);
/// assert_eq!(
///     report.cycles()[0].to_string(),
///     "Session.decoder -> Decoder.owner -> Session"
/// );
/// ```
pub struct ReferenceCycleDetector {
    registry: Mutex<Registry>,
}

impl ReferenceCycleDetector {
    /// Creates a detector; usable as the value of a `static`.
    pub const fn new() -> Self {
        ReferenceCycleDetector {
            registry: Mutex::new(Registry::new()),
        }
    }

    /// Tracks `object` and everything reachable from it through a `Weak`. Tracking an object again has no
    /// effect. Amortised O(1).
    pub fn track_object<T: Trace + Send + Sync + ?Sized + 'static>(&self, object: &Arc<T>) {
        self.registry().insert(object);
    }

    /// Returns the number of objects in leaked cycles, including untracked objects that are reachable
    /// from tracked ones. Objects that are only owned by such a cycle are in the
    /// [`report`](Self::report).
    ///
    /// O(objects + edges) without leaks; leaked objects add a sort of their edges and twenty reads each.
    pub fn detect_cycles(&self) -> usize {
        self.report().objects_in_cycles()
    }

    /// Runs a detection and returns all results.
    pub fn report(&self) -> CycleReport {
        self.detect().report
    }

    /// Runs a detection and calls [`Unlink::unlink`](crate::Unlink::unlink) on each member of a leaked
    /// cycle whose type has `#[trace(unlink)]`. The objects are dropped before this returns, unless
    /// another member still owns them.
    ///
    /// A thread that upgrades a `Weak` to a leaked object in the meantime gets an object that is or will
    /// be unlinked.
    pub fn break_cycles(&self) -> BrokenCycles {
        let detection = self.detect();
        let mut objects_unlinked = 0;
        let mut cycles_left = 0;
        // The handles outlive the loop: no object is dropped while another is unlinked, and rings of any
        // length are dropped without recursion.
        for cycle in detection.report.cycles() {
            let before = objects_unlinked;
            for &member in &cycle.members {
                if let Some(object) = detection.handles[member].unlinkable() {
                    object.unlink();
                    objects_unlinked += 1;
                }
            }
            cycles_left += usize::from(objects_unlinked == before);
        }
        BrokenCycles {
            objects_unlinked,
            cycles_left,
        }
    }

    /// Returns the number of live tracked objects. O(tracked).
    pub fn get_tracked_count(&self) -> usize {
        self.registry().live_count()
    }

    /// Stops tracking all objects.
    pub fn clear_registry(&self) {
        let cleared = std::mem::replace(&mut *self.registry(), Registry::new());
        drop(cleared);
    }

    /// Locks the registry. No user code runs under this lock.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn detect(&self) -> Detection {
        let mut handles = {
            let mut registry = self.registry();
            registry.purge();
            registry.handles()
        };
        let mut snapshot = Snapshot::take(&mut handles);
        let confirmed = Confirmed::of(&mut snapshot, &handles);
        Detection {
            report: describe(&snapshot, confirmed, &handles),
            handles,
        }
    }
}

impl Default for ReferenceCycleDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ReferenceCycleDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReferenceCycleDetector")
            .field("tracked", &self.get_tracked_count())
            .finish()
    }
}

/// A finished detection. Its handles may be the last owners; no lock is held.
struct Detection {
    report: CycleReport,
    handles: Vec<Box<dyn Handle>>,
}

fn describe(snapshot: &Snapshot, confirmed: Confirmed, handles: &[Box<dyn Handle>]) -> CycleReport {
    let nodes = snapshot.nodes.iter().zip(handles);
    let mut objects: Vec<Object> = nodes
        .map(|(node, handle)| Object {
            type_name: handle.object_type(),
            address: handle.address(),
            bytes: node.bytes,
            strong_count: node.strong_count,
            internal_owners: node.internal_owners,
            external_owners: node.external_owners(),
            fully_traced: node.known,
            status: ObjectStatus::Live,
        })
        .collect();

    let Confirmed {
        members,
        settled,
        edges,
    } = confirmed;
    // All owners of a settled object are settled, so edges of unsettled objects are in no cycle.
    let successors: Vec<Vec<usize>> = edges
        .iter()
        .zip(&settled)
        .map(|(edges, &settled)| match settled {
            true => edges.iter().map(|edge| edge.to).collect(),
            false => Vec::new(),
        })
        .collect();
    let components = cyclic_components(&successors);
    for (position, status) in statuses(&settled, &successors, &components)
        .into_iter()
        .enumerate()
    {
        objects[members[position]].status = status;
    }

    let cycles = components
        .iter()
        .map(|component| {
            let path = shortest_cycle(&successors, component).into_iter();
            Cycle {
                members: component
                    .iter()
                    .map(|&position| members[position])
                    .collect(),
                path: path
                    .map(|(position, edge)| PathEdge {
                        object: members[position],
                        type_name: objects[members[position]].type_name,
                        field: edges[position][edge].label.clone(),
                    })
                    .collect(),
                bytes: component
                    .iter()
                    .map(|&position| objects[members[position]].bytes)
                    .sum(),
            }
        })
        .collect();
    let mut ownerships = Vec::new();
    for (&owner, edges) in members.iter().zip(edges) {
        for edge in edges {
            let owned = members[edge.to];
            if objects[owner].status.is_leaked() && objects[owned].status.is_leaked() {
                ownerships.push(Ownership {
                    owner,
                    owned,
                    field: edge.label,
                });
            }
        }
    }
    CycleReport {
        objects,
        cycles,
        ownerships,
    }
}

/// Returns the status of each suspect.
fn statuses(
    settled: &[bool],
    successors: &[Vec<usize>],
    components: &[Vec<usize>],
) -> Vec<ObjectStatus> {
    // A settled object that is neither in a cycle nor owned by one is owned only by the detection.
    let mut statuses: Vec<ObjectStatus> = settled
        .iter()
        .map(|&settled| match settled {
            true => ObjectStatus::Expiring,
            false => ObjectStatus::Unsettled,
        })
        .collect();
    let mut reached: Vec<usize> = components.concat();
    for &position in &reached {
        statuses[position] = ObjectStatus::InLeakedCycle;
    }
    while let Some(position) = reached.pop() {
        for &owned in &successors[position] {
            if statuses[owned] == ObjectStatus::Expiring {
                statuses[owned] = ObjectStatus::OwnedByLeakedCycle;
                reached.push(owned);
            }
        }
    }
    statuses
}
