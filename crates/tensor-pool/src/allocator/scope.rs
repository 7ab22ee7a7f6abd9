//! Counts of one thread within a section of code.

use std::marker::PhantomData;

use super::heap::heap;
use super::tally::Tally;
use super::thread;

/// The allocations and frees within a [`Scope`] of one thread, or within a
/// [`SharedScope`](crate::SharedScope).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeUsage {
    /// Number of granted requests.
    pub allocations: u64,
    /// Requested bytes, including growth of resized blocks.
    pub allocated_bytes: u64,
    /// Number of freed blocks.
    pub frees: u64,
    /// Freed bytes, including shrinkage of resized blocks.
    pub freed_bytes: u64,
    /// `allocated_bytes - freed_bytes`. Negative if the thread frees blocks that were allocated
    /// before the scope or on other threads.
    pub change_bytes: i64,
    /// The maximum of `change_bytes` during the scope, at least 0. Exact.
    pub peak_bytes: u64,
}

/// Tracks the allocations and frees of this thread during its lifetime, and names that section of
/// code for [`seal`](crate::seal). A [`SharedScope`](crate::SharedScope) tracks several threads.
///
/// Scopes nest, in O(1): an outer scope includes its inner ones. Drop scopes in reverse order of
/// creation, as local variables are. In any other order, the remaining scopes may report a wrong
/// peak and name.
///
/// ```standalone_crate
/// use tensor_pool::{PoolAllocator, Scope};
///
/// #[global_allocator]
/// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
///
/// assert!(ALLOCATOR.install());
/// let outer = Scope::new("outer");
/// let buffer = vec![1_u8; 1000];
/// {
///     let _inner = Scope::new("inner");
///     drop(vec![2_u8; 5000]);
/// }
/// let usage = outer.usage().unwrap();
/// assert_eq!(usage.allocated_bytes, 6000);
/// assert_eq!(usage.change_bytes, 1000);
/// assert_eq!(usage.peak_bytes, 6000);
/// # drop(buffer);
/// ```
#[derive(Debug)]
#[must_use = "a scope tracks only during its lifetime"]
pub struct Scope {
    start: Option<Start>,
    /// A scope tracks the thread that created it.
    not_send: PhantomData<*const ()>,
}

/// The state when the scope was opened.
#[derive(Clone, Copy, Debug)]
struct Start {
    tracked: *const (),
    allocations: u64,
    allocated: u64,
    frees: u64,
    freed: u64,
    balance: i64,
    outer_name: Option<&'static str>,
    outer_peak: i64,
}

impl Scope {
    /// Starts tracking this thread. Tracks nothing if no allocator is
    /// [installed](crate::PoolAllocator::install).
    pub fn new(name: &'static str) -> Self {
        let start = heap().map(|heap| {
            let tally = thread::tally();
            let tracked = heap.counts.id();
            let balance = tally.balance();
            thread::set_tally(
                Tally {
                    peak: balance,
                    name: Some(name),
                    depth: tally.depth + 1,
                    ..tally
                },
                tracked,
            );
            Start {
                tracked,
                allocations: tally.allocations,
                allocated: tally.allocated,
                frees: tally.frees,
                freed: tally.freed,
                balance,
                outer_name: tally.name,
                outer_peak: tally.peak,
            }
        });
        Self {
            start,
            not_send: PhantomData,
        }
    }

    /// Returns the allocations and frees of this thread since the scope was opened, or `None` if no
    /// allocator was [installed](crate::PoolAllocator::install) at that time.
    #[must_use]
    pub fn usage(&self) -> Option<ScopeUsage> {
        self.start.map(|start| {
            let now = thread::tally();
            ScopeUsage {
                allocations: now.allocations.wrapping_sub(start.allocations),
                allocated_bytes: now.allocated.wrapping_sub(start.allocated),
                frees: now.frees.wrapping_sub(start.frees),
                freed_bytes: now.freed.wrapping_sub(start.freed),
                change_bytes: now.balance().wrapping_sub(start.balance),
                peak_bytes: now.peak.saturating_sub(start.balance).max(0) as u64,
            }
        })
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(start) = self.start {
            let tally = thread::tally();
            thread::set_tally(
                Tally {
                    peak: tally.peak.max(start.outer_peak),
                    name: start.outer_name,
                    depth: tally.depth.saturating_sub(1),
                    ..tally
                },
                start.tracked,
            );
        }
    }
}
