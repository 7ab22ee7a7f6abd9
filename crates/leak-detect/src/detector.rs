//! The detector and what one detection does.

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

/// Finds `Arc`s that only own each other: objects that no one can drop any more.
///
/// An object is *leaked* when no chain of `Arc`s leads to it from outside. Outside is all that the
/// detector does not look into: the stack, closures, channels, skipped fields, untracked objects
/// that no tracked one leads to, the inside of a lock that someone holds. The number of an object's
/// external owners is its strong count less the `Arc`s found in other objects less the detector's
/// own.
///
/// # What it promises
///
/// - It keeps [`Weak`](std::sync::Weak)s only. Between calls no strong count differs from what it
///   would be without the detector.
/// - A leak may be missed (this time, or always if a part cannot be looked at), none is made up.
///   With nothing moving the answer is exact for what can be looked at. While other threads move
///   `Arc`s, a cycle is reported only if a second pass, which holds every lock of the suspects,
///   finds the same members, edges and counts, the counts being read again and again in random
///   order; what differs is [unsettled](ObjectStatus::Unsettled). Plain `Arc`s allow no snapshot of
///   several counts, so this rests on chance: the odds of a false report are below one in 4 * 10^8
///   for each living cycle that both passes mistook for a leaked one.
/// - It never waits for a lock of yours and calls none of your code but [`Trace`] and, in
///   [`break_cycles`](Self::break_cycles), [`Unlink`](crate::Unlink). Objects of which it became
///   the last owner are dropped after all locks are released, so their `Drop` may call the
///   detector.
///
/// # What a detection does to the rest of the program
///
/// For as long as it runs, each object looked at has one more owner, so `Arc::try_unwrap`,
/// `Arc::into_inner` and `Arc::get_mut` may fail and `Arc::make_mut` may copy. It takes each free
/// lock (`RwLock`s for reading), so others may wait for it briefly and a `try_lock` may fail.
/// Detections that run at the same time over the same objects see each other's handles as outside
/// owners and find nothing there.
///
/// Tracking alone has the effects of any `Weak`: `Arc::get_mut` fails, `Arc::make_mut` moves the
/// value to a new allocation (and the old one counts as dead), and the allocation of a dead object
/// is kept, its value dropped, until the next purge: at each detection and whenever the registry
/// has doubled.
///
/// A cycle that the program can still reach through a `Weak` is reported: nothing but itself keeps
/// it alive.
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
/// assert_eq!(detector.detect_cycles(), 0); // `session` owns it from outside
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
    /// A detector that tracks nothing yet; also as the value of a `static`.
    pub const fn new() -> Self {
        ReferenceCycleDetector {
            registry: Mutex::new(Registry::new()),
        }
    }

    /// Watches `object`, and in each detection all that it leads to. Keeps a `Weak`; tracking an
    /// object again does nothing. Amortised O(1).
    pub fn track_object<T: Trace + Send + Sync + ?Sized + 'static>(&self, object: &Arc<T>) {
        self.registry().insert(object);
    }

    /// How many objects are in leaked cycles: members of a cycle of `Arc`s that no external owner
    /// leads to. Objects that such a cycle merely owns are in the [`report`](Self::report) only.
    /// Untracked objects that a tracked one leads to are counted too.
    ///
    /// O(objects + edges) with nothing leaked; leaked objects cost a sort of their edges and twenty
    /// reads each besides.
    pub fn detect_cycles(&self) -> usize {
        self.report().objects_in_cycles()
    }

    /// The same detection with all that it found.
    pub fn report(&self) -> CycleReport {
        self.detect().report
    }

    /// Detects, then calls [`Unlink::unlink`](crate::Unlink::unlink) on each member of a leaked
    /// cycle whose type is marked `#[trace(unlink)]`. The objects are dropped before this returns,
    /// unless something else in the cycle still owns them.
    ///
    /// A thread that upgrades a `Weak` to a leaked object meanwhile gets one that is or will be
    /// unlinked.
    pub fn break_cycles(&self) -> BrokenCycles {
        let detection = self.detect();
        let mut objects_unlinked = 0;
        let mut cycles_left = 0;
        // All handles are kept until the end: no unlinked object is dropped while another is being
        // unlinked, and rings of any length come apart without recursion.
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

    /// How many tracked objects are alive. O(tracked).
    pub fn get_tracked_count(&self) -> usize {
        self.registry().live_count()
    }

    /// Stops watching everything.
    pub fn clear_registry(&self) {
        let cleared = std::mem::replace(&mut *self.registry(), Registry::new());
        drop(cleared);
    }

    /// None of the code that runs under this lock is the user's.
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

/// A finished detection. Its handles may be the last owners of what they hold; no lock is held by
/// now.
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
    // All owners of a settled object are settled, so leaving out the others' edges cuts no cycle.
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

/// The status of each suspect.
fn statuses(
    settled: &[bool],
    successors: &[Vec<usize>],
    components: &[Vec<usize>],
) -> Vec<ObjectStatus> {
    // Settled, yet neither on a cycle nor owned by one: nothing owns it any more but the detection.
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
