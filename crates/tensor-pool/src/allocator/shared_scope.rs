//! Counts of several threads within a section of code.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::heap::heap;
use super::scope::{Scope, ScopeUsage};
use super::tally::SharedTally;
use super::thread::{self, Entry};

/// Tracks the allocations and frees of all threads that [enter](Self::enter) the scope, such as the
/// workers of a pool that share one task.
///
/// Clones are handles of the same scope, and can be sent to other threads. While a thread is
/// inside, each of its requests costs up to six atomic additions.
///
/// ```standalone_crate
/// use tensor_pool::{PoolAllocator, SharedScope};
///
/// #[global_allocator]
/// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
///
/// assert!(ALLOCATOR.install());
/// let scope = SharedScope::new("decode");
/// let blocks: Vec<_> = (0..4)
///     .map(|_| {
///         let scope = scope.clone();
///         std::thread::spawn(move || {
///             let _inside = scope.enter();
///             vec![1_u8; 1000]
///         })
///     })
///     .map(|thread| thread.join().unwrap())
///     .collect();
/// let usage = scope.usage().unwrap();
/// assert_eq!((usage.allocations, usage.change_bytes), (4, 4000));
/// assert_eq!(usage.peak_bytes, 4000);
/// # drop(blocks);
/// ```
#[derive(Clone)]
pub struct SharedScope {
    name: &'static str,
    tally: Option<Arc<SharedTally>>,
}

impl SharedScope {
    /// Creates a scope that no thread has entered yet. The scope tracks nothing if no allocator is
    /// [installed](crate::PoolAllocator::install).
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            tally: heap().map(|_| Arc::default()),
        }
    }

    /// Tracks this thread until the returned value is dropped. Also opens a [`Scope`] of the same
    /// name, which names the section for [`seal`](crate::seal).
    ///
    /// Scopes of both kinds nest: each counts what happens inside. A thread that is already inside
    /// this scope is counted once. A thread can be inside eight shared scopes at the same time.
    pub fn enter(&self) -> EnteredScope {
        let scope = Scope::new(self.name);
        let inside = self.tally.as_ref().and_then(|tally| {
            // SAFETY: `Inside` keeps the tally alive until its drop, on this thread, calls `leave`.
            // If it is leaked, the tally is too.
            match unsafe { thread::enter(Arc::as_ptr(tally)) } {
                Entry::Tracked(slot) => Some(Inside {
                    slot,
                    _tally: Arc::clone(tally),
                }),
                Entry::Inside => None,
                Entry::Full => {
                    tally.is_incomplete.store(true, Relaxed);
                    None
                }
            }
        });
        EnteredScope {
            _inside: inside,
            _scope: scope,
            not_send: PhantomData,
        }
    }

    /// Returns the allocations and frees of all threads while they were inside. The peak is that of
    /// their sum. All values are exact if no thread is inside.
    ///
    /// Returns `None` if no allocator was [installed](crate::PoolAllocator::install) when the scope
    /// was created, or if a thread entered it from inside eight other shared scopes.
    #[must_use]
    pub fn usage(&self) -> Option<ScopeUsage> {
        let tally = self.tally.as_ref()?;
        if tally.is_incomplete.load(Relaxed) {
            return None;
        }
        let [allocations, allocated_bytes, frees, freed_bytes] = [
            &tally.allocations,
            &tally.allocated,
            &tally.frees,
            &tally.freed,
        ]
        .map(|counter| counter.load(Relaxed));
        Some(ScopeUsage {
            allocations,
            allocated_bytes,
            frees,
            freed_bytes,
            change_bytes: allocated_bytes.wrapping_sub(freed_bytes) as i64,
            peak_bytes: tally.peak.load(Relaxed).max(0) as u64,
        })
    }
}

impl std::fmt::Debug for SharedScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedScope")
            .field("name", &self.name)
            .field("usage", &self.usage())
            .finish()
    }
}

/// A thread inside a [`SharedScope`], returned by [`SharedScope::enter`]. Dropping it leaves the
/// scope.
#[derive(Debug)]
#[must_use = "the thread is tracked only during the lifetime of this value"]
pub struct EnteredScope {
    // Dropped first: the thread stays on the counting path while the scope below is open.
    _inside: Option<Inside>,
    _scope: Scope,
    /// Tracks the thread that entered.
    not_send: PhantomData<*const ()>,
}

/// A slot of this thread that points to the tally.
struct Inside {
    slot: usize,
    /// Keeps the tally alive while the slot points to it, even if this value is leaked.
    _tally: Arc<SharedTally>,
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inside").finish_non_exhaustive()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        thread::leave(self.slot);
    }
}
