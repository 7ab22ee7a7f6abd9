//! The guards of traced locks.

use std::ops::Deref;

/// Any guard, type-erased.
trait Guard {}
impl<T> Guard for T {}

/// Guards that are released in reverse order, so inner locks are released before outer ones.
pub(super) struct Guards<'a>(Vec<*mut (dyn Guard + 'a)>);

impl<'a> Guards<'a> {
    pub(super) fn new() -> Self {
        Guards(Vec::new())
    }

    /// Stores `guard` and returns the guarded value.
    pub(super) fn hold<G: Deref + 'a>(&mut self, guard: G) -> &'a G::Target {
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
