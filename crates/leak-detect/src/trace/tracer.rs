//! The tracer that walks through objects, and its results.

use std::borrow::Cow;
use std::mem::size_of_val;
use std::ops::Deref;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;

use super::path::FieldPath;
use super::{Trace, Unlink};

/// Levels of nested values that are visited by recursion. Deeper ones wait in a list, so that a long
/// list of `Box`es does not overflow the stack. One level takes up to 1 KiB of stack in a debug build.
const MAX_DEPTH: usize = 32;

/// An `Arc` in an owner.
pub(crate) struct Edge {
    /// The index of the object it points to; `None` if the object is newer than the index.
    pub(crate) to: Option<usize>,
    /// Its path in the owner, such as `inner.decoder`; empty without labels.
    pub(crate) label: Cow<'static, str>,
}

/// A weak reference to an object of any type.
pub(crate) trait Entry: Send + Sync {
    fn is_dead(&self) -> bool;
    fn upgrade(&self) -> Option<Box<dyn Handle>>;
}

impl<T: Trace + Send + Sync + ?Sized + 'static> Entry for Weak<T> {
    fn is_dead(&self) -> bool {
        self.strong_count() == 0
    }

    fn upgrade(&self) -> Option<Box<dyn Handle>> {
        Weak::upgrade(self).map(|arc| Box::new(arc) as Box<dyn Handle>)
    }
}

/// A strong handle that keeps an object alive during a detection.
pub(crate) trait Handle {
    // The names differ from those of `Trace`, which references to handles also implement.
    /// Traces the object (not the handle).
    fn trace_object<'a>(&'a self, tracer: &mut Tracer<'a>);
    /// Returns the number of `Arc`s that own the object, including this handle.
    fn strong_count(&self) -> usize;
    fn address(&self) -> usize;
    fn size(&self) -> usize;
    fn object_type(&self) -> &'static str;
    fn unlinkable(&self) -> Option<&dyn Unlink>;
    fn downgrade(&self) -> Box<dyn Entry>;
}

impl<T: Trace + Send + Sync + ?Sized + 'static> Handle for Arc<T> {
    fn trace_object<'a>(&'a self, tracer: &mut Tracer<'a>) {
        T::trace(self, tracer);
    }

    fn strong_count(&self) -> usize {
        let count = Arc::strong_count(self);
        // A thread that moves from one object to another clones the new `Arc` before it drops the old
        // one (a release). If this read includes the drop, later reads must include the clone.
        fence(Ordering::Acquire);
        count
    }

    fn address(&self) -> usize {
        address_of(self)
    }

    fn size(&self) -> usize {
        size_of_val::<T>(self)
    }

    fn object_type(&self) -> &'static str {
        T::type_name(self)
    }

    fn unlinkable(&self) -> Option<&dyn Unlink> {
        T::as_unlink(self)
    }

    fn downgrade(&self) -> Box<dyn Entry> {
        Box::new(Arc::downgrade(self))
    }
}

/// Returns the identity of an object. Every live `Arc` allocation has a unique data address, even for
/// zero-sized data, since the counts precede it.
pub(crate) fn address_of<T: ?Sized>(arc: &Arc<T>) -> usize {
    Arc::as_ptr(arc).cast::<()>().addr()
}

/// Accumulated results of several tracers.
#[derive(Default)]
pub(crate) struct Survey {
    /// Index of each visited object, by address.
    pub(crate) index: FxHashMap<usize, usize>,
    /// Whether new objects get an index and a handle.
    pub(crate) discover: bool,
    /// Handles of new objects, in index order.
    pub(crate) found: Vec<Box<dyn Handle>>,
    /// Visited edges, in order.
    pub(crate) edges: Vec<Edge>,
    /// Whether edges are labelled.
    pub(crate) labels: bool,
    /// Whether a field could not be traced.
    pub(crate) unknown: bool,
    /// Heap bytes of visited collections.
    pub(crate) heap_bytes: usize,
}

/// Visits an object's fields through [`Trace::trace`] and records each `Arc` they own.
///
/// The tracer holds lock guards until the detection has read the counts, so nothing behind those locks
/// changes in between. `'a` is the lifetime of the traced objects.
pub struct Tracer<'a> {
    // Fields are dropped in this order. Pending visits borrow from values behind guards. Guards go
    // before the survey, whose handles may be the last ones, so that no lock is held when an object is
    // dropped.
    pending: Vec<Pending<'a>>,
    guards: Guards<'a>,
    survey: Survey,
    path: FieldPath,
    depth: usize,
}

/// A visit that was put off because it is nested too deeply.
struct Pending<'a> {
    path: FieldPath,
    visit: Box<dyn FnOnce(&mut Tracer<'a>) + 'a>,
}

impl<'a> Tracer<'a> {
    pub(crate) fn new(survey: Survey) -> Self {
        Tracer {
            pending: Vec::new(),
            guards: Guards::new(),
            survey,
            path: FieldPath::default(),
            depth: 0,
        }
    }

    pub(crate) fn survey(&mut self) -> &mut Survey {
        &mut self.survey
    }

    /// Releases the guards.
    pub(crate) fn finish(self) -> Survey {
        self.survey
    }

    /// Traces an object completely.
    pub(crate) fn object(&mut self, handle: &'a dyn Handle) {
        handle.trace_object(self);
        while let Some(Pending { path, visit }) = self.pending.pop() {
            self.path = path;
            visit(self);
        }
        self.path = FieldPath::default();
    }

    /// Traces `value` under `name`.
    pub fn field<T: Trace + ?Sized>(&mut self, name: &'static str, value: &'a T) {
        if self.survey.labels {
            self.path.push(name);
            self.nested(|tracer| value.trace(tracer));
            self.path.pop();
        } else {
            self.nested(|tracer| value.trace(tracer));
        }
    }

    /// Traces the value behind `guard` and holds the guard until the detection has processed the object.
    pub fn guarded<G>(&mut self, guard: G)
    where
        G: Deref<Target: Trace> + 'a,
    {
        let value = self.hold(guard);
        self.nested(|tracer| value.trace(tracer));
    }

    /// Holds `guard` until the detection has processed the object.
    pub(crate) fn hold<G: Deref + 'a>(&mut self, guard: G) -> &'a G::Target {
        self.guards.hold(guard)
    }

    /// Runs `visit`, which traces values one level deeper: at once, or after the object's other values
    /// if the level is too deep.
    pub(crate) fn nested(&mut self, visit: impl FnOnce(&mut Self) + 'a) {
        if self.depth < MAX_DEPTH {
            self.depth += 1;
            visit(self);
            self.depth -= 1;
        } else {
            self.pending.push(Pending {
                path: self.path.clone(),
                visit: Box::new(visit),
            });
        }
    }

    /// Records that a field cannot be traced now. Its `Arc`s count as external owners.
    pub fn unknown(&mut self) {
        self.survey.unknown = true;
    }

    /// Adds heap bytes outside of any `Arc` to the object's reported size.
    pub fn heap_bytes(&mut self, bytes: usize) {
        self.survey.heap_bytes = self.survey.heap_bytes.saturating_add(bytes);
    }

    /// Records an `Arc` that the object owns.
    pub(crate) fn owns<T: Trace + Send + Sync + ?Sized + 'static>(&mut self, arc: &Arc<T>) {
        let address = address_of(arc);
        let survey = &mut self.survey;
        let to = match survey.index.get(&address) {
            Some(&index) => Some(index),
            None if survey.discover => {
                let index = survey.index.len();
                survey.index.insert(address, index);
                survey.found.push(Box::new(Arc::clone(arc)));
                Some(index)
            }
            None => None,
        };
        let label = self.path.label();
        survey.edges.push(Edge { to, label });
    }
}

/// Any guard, type-erased.
trait Guard {}
impl<T> Guard for T {}

/// Guards that are released in reverse order, so inner locks are released before outer ones.
struct Guards<'a>(Vec<*mut (dyn Guard + 'a)>);

impl<'a> Guards<'a> {
    fn new() -> Self {
        Guards(Vec::new())
    }

    /// Stores `guard` and returns the guarded value.
    fn hold<G: Deref + 'a>(&mut self, guard: G) -> &'a G::Target {
        let guard = Box::into_raw(Box::new(guard));
        self.0.push(guard);
        // SAFETY: the pointer comes from a box that is not moved, written or freed before `Guards` is
        // dropped, so the shared borrow is valid until then. The borrow is declared for `'a`, which may
        // be longer. Only data stored in `Tracer<'a>` can outlive the call: indices, names, pending
        // visits and guards that borrow from it. `Tracer` drops pending visits before guards, and
        // those guards are stored after this one, hence dropped before it. An implementation of
        // `Trace` cannot store it elsewhere, since it must work for every `'a`.
        unsafe { (*guard).deref() }
    }
}

impl Drop for Guards<'_> {
    fn drop(&mut self) {
        while let Some(guard) = self.0.pop() {
            // SAFETY: `hold` created the pointer from a box and stored it once. Borrows from it were
            // stored later and have been dropped.
            drop(unsafe { Box::from_raw(guard) });
        }
    }
}
