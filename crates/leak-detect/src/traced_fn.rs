//! Callbacks that the detector can follow.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use crate::trace::{Trace, Tracer, Unlink};

/// A callback with the state that it uses: a closure that the detector can follow.
///
/// The captures of a closure cannot be traced, so a cycle through one is never found. A `TracedFn` has no
/// captures: `function` is a plain function pointer, and everything that it uses is in `state`, which is
/// traced. A closure that captures nothing converts to a function pointer; one that captures something
/// is a compile-time error.
///
/// - The argument is passed by reference, so it may be a borrowed value such as `str`. Use a tuple for
///   several.
/// - Clones share the state.
/// - The callback implements [`Unlink`]: if it is part of a leaked cycle,
///   [`break_cycles`](crate::ReferenceCycleDetector::break_cycles) drops its state, which frees the
///   cycle even if no other type in it implements `Unlink`. Calls then return `None`.
/// - During a call the caller owns the state, which counts as an external owner.
///
/// ```
/// use leak_detect::{ReferenceCycleDetector, Trace, TracedFn};
/// use std::sync::{Arc, Mutex};
///
/// #[derive(Trace, Default)]
/// struct Cache {
///     entries: Mutex<Vec<String>>,
///     /// Called with the number of bytes that are missing.
///     on_shortage: Mutex<Vec<TracedFn<u64>>>,
/// }
///
/// impl Cache {
///     fn shortage(&self, missing_bytes: u64) {
///         let callbacks = self.on_shortage.lock().unwrap().clone();
///         for callback in callbacks {
///             callback.call(&missing_bytes);
///         }
///     }
/// }
///
/// #[derive(Trace)]
/// struct Cleaner {
///     cache: Arc<Cache>,
/// }
///
/// let cache = Arc::new(Cache::default());
/// let cleaner = Arc::new(Cleaner { cache: Arc::clone(&cache) });
/// let clean = TracedFn::new(cleaner, |cleaner, _missing_bytes: &u64| {
///     cleaner.cache.entries.lock().unwrap().clear();
/// });
/// cache.entries.lock().unwrap().push("an entry".to_owned());
/// cache.on_shortage.lock().unwrap().push(clean); // Closes a cycle.
/// cache.shortage(100);
/// assert!(cache.entries.lock().unwrap().is_empty());
///
/// let detector = ReferenceCycleDetector::new();
/// detector.track_object(&cache);
/// let weak = Arc::downgrade(&cache);
/// drop(cache);
/// assert_eq!(
///     detector.report().cycles()[0].to_string(),
///     "Cache.on_shortage -> TracedFn<Cleaner>.state -> Cleaner.cache -> Cache"
/// );
/// assert_eq!(detector.break_cycles().objects_freed, 3);
/// assert!(weak.upgrade().is_none());
/// ```
///
/// ```compile_fail
/// use leak_detect::TracedFn;
/// use std::sync::Arc;
///
/// let captured = Arc::new(1u64);
/// // `captured` is not part of the state.
/// let add = TracedFn::new(Arc::new(2u64), |state, argument: &u64| *state + *captured + argument);
/// ```
pub struct TracedFn<A: ?Sized, R = ()> {
    callback: Arc<dyn Callback<A, R>>,
}

impl<A: ?Sized + 'static, R: 'static> TracedFn<A, R> {
    /// Creates a callback that calls `function` with `state` and the argument.
    pub fn new<S>(state: Arc<S>, function: fn(&S, &A) -> R) -> Self
    where
        S: Trace + Send + Sync + ?Sized + 'static,
    {
        TracedFn {
            callback: Arc::new(Stateful {
                state: Mutex::new(Some(state)),
                function,
            }),
        }
    }

    /// Creates a callback from a closure whose captures are not traced: they count as external owners,
    /// so a cycle through them is not found.
    ///
    /// ```
    /// use leak_detect::TracedFn;
    ///
    /// let greeting = String::from("Hello");
    /// let greet = TracedFn::untraced(move |name: &str| format!("{greeting}, {name}."));
    /// assert_eq!(greet.call("world").as_deref(), Some("Hello, world."));
    /// ```
    pub fn untraced(function: impl Fn(&A) -> R + Send + Sync + 'static) -> Self {
        TracedFn {
            callback: Arc::new(Untraced { function }),
        }
    }

    /// Calls the callback. Returns `None` if the detector has unlinked it.
    pub fn call(&self, argument: &A) -> Option<R> {
        self.callback.call(argument)
    }
}

impl<A: ?Sized, R> Clone for TracedFn<A, R> {
    fn clone(&self) -> Self {
        TracedFn {
            callback: Arc::clone(&self.callback),
        }
    }
}

impl<A: ?Sized + 'static, R: 'static> Trace for TracedFn<A, R> {
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        self.callback.trace(tracer);
    }
}

impl<A: ?Sized, R> fmt::Debug for TracedFn<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedFn").finish_non_exhaustive()
    }
}

trait Callback<A: ?Sized, R>: Trace + Send + Sync {
    fn call(&self, argument: &A) -> Option<R>;
}

struct Stateful<S: ?Sized, A: ?Sized, R> {
    /// `None` after unlinking.
    state: Mutex<Option<Arc<S>>>,
    function: fn(&S, &A) -> R,
}

impl<S, A, R> Callback<A, R> for Stateful<S, A, R>
where
    S: Trace + Send + Sync + ?Sized + 'static,
    A: ?Sized,
{
    fn call(&self, argument: &A) -> Option<R> {
        let state = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.clone()?
        };
        Some((self.function)(&state, argument))
    }
}

impl<S, A, R> Trace for Stateful<S, A, R>
where
    S: Trace + Send + Sync + ?Sized + 'static,
    A: ?Sized,
{
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
        tracer.field("state", &self.state);
    }

    fn type_name(&self) -> &'static str {
        std::any::type_name::<reported::TracedFn<S>>()
    }

    fn as_unlink(&self) -> Option<&dyn Unlink> {
        Some(self)
    }
}

impl<S: ?Sized, A: ?Sized, R> Unlink for Stateful<S, A, R> {
    fn unlink(&self) {
        let state = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(state);
    }
}

struct Untraced<F> {
    function: F,
}

impl<A: ?Sized, R, F: Fn(&A) -> R + Send + Sync> Callback<A, R> for Untraced<F> {
    fn call(&self, argument: &A) -> Option<R> {
        Some((self.function)(argument))
    }
}

impl<F> Trace for Untraced<F> {
    fn trace<'a>(&'a self, _: &mut Tracer<'a>) {}

    fn type_name(&self) -> &'static str {
        std::any::type_name::<reported::TracedFn<F>>()
    }
}

/// The names in reports: the public type with the type of its state.
mod reported {
    pub(super) struct TracedFn<S: ?Sized>(super::PhantomData<S>);
}
