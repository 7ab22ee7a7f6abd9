//! The detector of reference cycles.

mod components;
mod confirm;
mod describe;
mod detection;
mod registry;
mod snapshot;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashSet;

use crate::report::{BrokenCycles, CycleReport};
use crate::trace::Trace;

use detection::Detection;
use registry::Registry;

/// Detections of one [`break_cycles`](ReferenceCycleDetector::break_cycles). Two suffice unless
/// destructors leave new leaked cycles; if they always do, this ends the loop.
const MAX_ROUNDS: usize = 100;

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
///   [unsettled](crate::ObjectStatus::Unsettled). Plain `Arc`s have no atomic snapshot of several counts, so
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
    /// cycle whose type has `#[trace(unlink)]`. Repeats this for the objects that are still leaked
    /// after the others are freed, until no more cycle can be broken. The objects are dropped before
    /// this returns, unless another object still owns them.
    ///
    /// A cycle cannot be broken if no member's type implements `Unlink`. Its objects are tracked from
    /// then on, even if they were only reachable through objects that are now freed: later detections
    /// report them.
    ///
    /// A thread that upgrades a `Weak` to a leaked object in the meantime gets an object that is or will
    /// be unlinked.
    pub fn break_cycles(&self) -> BrokenCycles {
        let mut detection = self.detect();
        let mut unlinked = FxHashSet::default();
        let mut broken = BrokenCycles {
            objects_unlinked: 0,
            objects_freed: detection.leaked_count(),
            cycles_left: 0,
        };
        for _ in 0..MAX_ROUNDS {
            let leaked = detection.leaked();
            detection.unlink(&mut unlinked);
            // Runs destructors.
            drop(detection);
            let survivors: Vec<_> = leaked.iter().filter_map(|entry| entry.upgrade()).collect();
            {
                let mut registry = self.registry();
                survivors
                    .iter()
                    .for_each(|object| registry.insert(object.as_ref()));
            }
            detection = Detection::of(survivors);
            broken.cycles_left = detection.report.cycles().len();
            if unlinked.len() == broken.objects_unlinked {
                break;
            }
            broken.objects_unlinked = unlinked.len();
        }
        broken.objects_freed = broken
            .objects_freed
            .saturating_sub(detection.leaked_count());
        drop(detection);
        self.registry().purge();
        broken
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
        let handles = {
            let mut registry = self.registry();
            registry.purge();
            registry.handles()
        };
        Detection::of(handles)
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
