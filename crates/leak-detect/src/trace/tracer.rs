//! What a detection learns while it walks through objects.

use std::borrow::Cow;
use std::mem::size_of_val;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use rustc_hash::FxHashMap;

use super::{Trace, Unlink};

/// One owner's `Arc`.
pub(crate) struct Edge {
    /// The index of the object it points to; `None` for one that was not there when the indices
    /// were given.
    pub(crate) to: Option<usize>,
    /// Where in its owner it is, such as `inner.decoder`; empty unless labels were asked for.
    pub(crate) label: Cow<'static, str>,
}

/// A strong handle that keeps one object alive while it is looked at.
pub(crate) trait Handle {
    // The names differ from those of `Trace`, which a reference to a handle has too.
    /// Traces the object (not the handle).
    fn trace_object<'a>(&'a self, tracer: &mut Tracer<'a>);
    /// How many `Arc`s own the object, this handle included.
    fn strong_count(&self) -> usize;
    fn address(&self) -> usize;
    fn size(&self) -> usize;
    fn object_type(&self) -> &'static str;
    fn unlinkable(&self) -> Option<&dyn Unlink>;
}

impl<T: Trace + ?Sized> Handle for Arc<T> {
    fn trace_object<'a>(&'a self, tracer: &mut Tracer<'a>) {
        T::trace(self, tracer);
    }

    fn strong_count(&self) -> usize {
        let count = Arc::strong_count(self);
        // Whoever moves from one object to another takes the new `Arc` before dropping the old one
        // (a release). Having seen the drop, the counts read from here on must include the new one.
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
}

/// The identity of an object: each live `Arc` allocation has a data address of its own, of whatever
/// size the data are, since the counts lie before them.
pub(crate) fn address_of<T: ?Sized>(arc: &Arc<T>) -> usize {
    Arc::as_ptr(arc).cast::<()>().addr()
}

/// What has been found out so far; outlives the tracers that fill it.
#[derive(Default)]
pub(crate) struct Survey {
    /// The index of each object met, by address.
    pub(crate) index: FxHashMap<usize, usize>,
    /// Whether objects not met before get an index and a handle.
    pub(crate) discover: bool,
    /// Handles of the objects met since this was last emptied, in the order of their indices.
    pub(crate) found: Vec<Box<dyn Handle>>,
    /// The edges met, in order.
    pub(crate) edges: Vec<Edge>,
    /// Whether edges are labelled.
    pub(crate) labels: bool,
    /// A part that could not be looked at was met since this was last cleared.
    pub(crate) unknown: bool,
    /// Heap bytes of collections met since this was last cleared.
    pub(crate) heap_bytes: usize,
}

/// Passed through an object's fields by [`Trace::trace`]; notes each `Arc` they own.
///
/// It keeps the guards it is given until the detection has read the counts: nothing behind those
/// locks can change in the meantime. `'a` is how long the objects traced are borrowed.
pub struct Tracer<'a> {
    // Dropped before the survey, whose handles may be the last ones: no lock is held when an object
    // is dropped.
    guards: Guards<'a>,
    survey: Survey,
    path: Vec<&'static str>,
}

impl<'a> Tracer<'a> {
    pub(crate) fn new(survey: Survey) -> Self {
        Tracer {
            guards: Guards(Vec::new()),
            survey,
            path: Vec::new(),
        }
    }

    pub(crate) fn survey(&mut self) -> &mut Survey {
        &mut self.survey
    }

    /// Releases the guards.
    pub(crate) fn finish(self) -> Survey {
        self.survey
    }

    /// Traces `value`, which reports call `name`.
    pub fn field<T: Trace + ?Sized>(&mut self, name: &'static str, value: &'a T) {
        if self.survey.labels {
            self.path.push(name);
            value.trace(self);
            self.path.pop();
        } else {
            value.trace(self);
        }
    }

    /// Traces what `guard` gives access to and keeps the guard until the detection is done with the
    /// object.
    pub fn guarded<G>(&mut self, guard: G)
    where
        G: Deref<Target: Trace> + 'a,
    {
        self.guards.keep(guard).trace(self);
    }

    /// Says that some part of the object cannot be looked at now. What that part owns counts as
    /// outside owners.
    pub fn unknown(&mut self) {
        self.survey.unknown = true;
    }

    /// Adds to the object's reported size: bytes that it owns on the heap outside of any `Arc`.
    pub fn heap_bytes(&mut self, bytes: usize) {
        self.survey.heap_bytes = self.survey.heap_bytes.saturating_add(bytes);
    }

    /// Notes an `Arc` that the object owns.
    pub(crate) fn owns<T: Trace + ?Sized + 'static>(&mut self, arc: &Arc<T>) {
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
        let label = match self.path.as_slice() {
            [] => Cow::Borrowed(""),
            [name] => Cow::Borrowed(*name),
            path => Cow::Owned(path.join(".")),
        };
        survey.edges.push(Edge { to, label });
    }
}

/// Any value that does something when dropped.
trait Held {}
impl<T> Held for T {}

/// Guards that are held together and released in reverse order: the guard of a lock that lies
/// behind another lock goes first.
struct Guards<'a>(Vec<*mut (dyn Held + 'a)>);

impl<'a> Guards<'a> {
    /// Keeps `guard` and gives access to what it guards.
    fn keep<G: Deref + 'a>(&mut self, guard: G) -> &'a G::Target {
        let guard = Box::into_raw(Box::new(guard));
        self.0.push(guard);
        // SAFETY: the pointer comes from a box that is neither moved, written nor freed before
        // `Guards` is dropped, so the shared borrow is good until then. It claims to last for `'a`,
        // which may be longer. All that can outlive the call it is passed to is what `Tracer<'a>`
        // stores: indices, names and guards that borrow from it. Those guards are kept after this
        // one, hence dropped before it. An implementation of `Trace` cannot store it elsewhere, as
        // it must work for every `'a`.
        unsafe { (*guard).deref() }
    }
}

impl Drop for Guards<'_> {
    fn drop(&mut self) {
        while let Some(guard) = self.0.pop() {
            // SAFETY: `keep` made the pointer from a box and stored it once; what borrows from it
            // was kept later and has been dropped.
            drop(unsafe { Box::from_raw(guard) });
        }
    }
}
