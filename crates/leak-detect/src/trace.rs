//! The two traits a type implements to be looked into.

mod impls;
mod tracer;

pub use tracer::Tracer;
pub(crate) use tracer::{Edge, Handle, Survey, address_of};

/// A type that can say which [`Arc`](std::sync::Arc)s it owns.
///
/// `#[derive(Trace)]` writes it: each field is traced in turn. It is implemented for the primitive
/// types, the standard collections, `Box`, `Option`, `Result`, tuples, `Mutex`, `RwLock`,
/// `RefCell`, `OnceLock`, `OnceCell` and `LazyLock`, and for `Arc` itself, sized or not.
/// [`Weak`](std::sync::Weak) and references own nothing. The contents of a channel, a `JoinHandle`
/// or a `Cell` cannot be looked at, so an `Arc` in one of them counts as an outside owner.
///
/// # The derive's attributes
///
/// - `#[trace(skip)]` on a field leaves it out, and its type need not be `Trace`. What it owns
///   counts as outside owners: a leak may be missed, none is made up. Also worth it for large
///   buffers of plain numbers in builds without optimisation, where the loop over their elements is
///   not removed.
/// - `#[trace(unlink)]` on a type says that it implements [`Unlink`].
///
/// ```
/// use leak_detect::Trace;
/// use std::sync::{Arc, Mutex, OnceLock, Weak};
///
/// #[derive(Trace)]
/// struct Session<T> {
///     decoder: OnceLock<Arc<Decoder>>,
///     history: Mutex<Vec<T>>,
///     #[trace(skip)]
///     on_end: Option<Box<dyn Fn() + Send + Sync>>,
/// }
///
/// #[derive(Trace)]
/// enum Decoder {
///     Idle,
///     Busy { owner: Weak<Session<String>>, done: u64 },
/// }
/// ```
///
/// ```compile_fail
/// // A type whose fields cannot be traced is refused, not silently left out.
/// #[derive(leak_detect::Trace)]
/// struct Handler {
///     call: Box<dyn Fn() + Send + Sync>,
/// }
/// ```
///
/// ```compile_fail
/// // So is an attribute that the derive does not know.
/// #[derive(leak_detect::Trace)]
/// struct Handler {
///     #[trace(ignore)]
///     call: Box<dyn Fn() + Send + Sync>,
/// }
/// ```
///
/// # Trait objects
///
/// `trait Plugin: Trace {…}` makes `Arc<dyn Plugin>` traceable.
///
/// # Writing it by hand
///
/// [`trace`](Trace::trace) passes every part of `self` that may own `Arc`s to [`Tracer::field`],
/// and the guard of a lock to [`Tracer::guarded`].
///
/// - Never wait for a lock: use `try_lock`, and [`Tracer::unknown`] when it is taken.
/// - Leave out what you like, but **pass on nothing that `self` does not own and nothing twice**:
///   an edge that is not there would explain away an outside owner, and a living object could be
///   reported as leaked.
/// - What can change under a shared reference without a guard that the tracer holds (an atomic
///   pointer that is swapped, say) must be left out: it counts as an outside owner then.
///
/// ```
/// use leak_detect::{Trace, Tracer};
/// use std::sync::{Arc, Mutex, TryLockError};
///
/// struct Shelf {
///     books: Mutex<Vec<Arc<String>>>,
/// }
///
/// impl Trace for Shelf {
///     fn trace<'a>(&'a self, tracer: &mut Tracer<'a>) {
///         match self.books.try_lock() {
///             Ok(books) => tracer.guarded(books),
///             Err(TryLockError::Poisoned(poisoned)) => tracer.guarded(poisoned.into_inner()),
///             Err(TryLockError::WouldBlock) => tracer.unknown(),
///         }
///     }
/// }
/// ```
pub trait Trace {
    /// Reports each `Arc` that `self` owns to `tracer`, by tracing the fields.
    fn trace<'a>(&'a self, tracer: &mut Tracer<'a>);

    /// The name that reports show, with its module path. Through a trait object, that of the type
    /// behind it.
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// `Some(self)` for a type that implements [`Unlink`]; the derive writes it for
    /// `#[trace(unlink)]`.
    fn as_unlink(&self) -> Option<&dyn Unlink> {
        None
    }
}

/// A type that can let go of the `Arc`s that may close a cycle.
///
/// [`ReferenceCycleDetector::break_cycles`](crate::ReferenceCycleDetector::break_cycles) calls it
/// on members of leaked cycles, while it holds none of its own locks and none of yours. One
/// unlinked member per cycle is enough; unlinking all members also keeps the destruction of long
/// chains from recursing.
///
/// ```
/// use leak_detect::{Trace, Unlink};
/// use std::sync::{Arc, Mutex};
///
/// #[derive(Trace)]
/// #[trace(unlink)]
/// struct Node {
///     next: Mutex<Option<Arc<Node>>>,
/// }
///
/// impl Unlink for Node {
///     fn unlink(&self) {
///         // Taken out first, so that it is not dropped while the lock is held.
///         let next = self.next.lock().unwrap().take();
///         drop(next);
///     }
/// }
/// ```
pub trait Unlink {
    /// Drops those of its own `Arc`s that may lead back to itself. It may be called more than once.
    fn unlink(&self);
}
