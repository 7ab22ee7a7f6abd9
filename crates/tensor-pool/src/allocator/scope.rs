//! What one thread allocates in a stretch of code.

use std::marker::PhantomData;

use super::heap::heap;
use super::thread::{self, Tally};

/// What a thread allocated and freed within a [`Scope`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeUsage {
    /// How many requests were granted.
    pub allocations: u64,
    /// Their bytes, as requested (and what blocks grew by).
    pub allocated_bytes: u64,
    /// How many blocks were freed.
    pub frees: u64,
    /// Their bytes (and what blocks shrank by).
    pub freed_bytes: u64,
    /// `allocated_bytes - freed_bytes`: below zero where this thread frees what was allocated before
    /// the scope or elsewhere.
    pub change_bytes: i64,
    /// The greatest `change_bytes` on the way, at least 0; exact.
    pub peak_bytes: u64,
}

/// While it lives, follows what this thread allocates and frees, and names that stretch of code for
/// [`seal`](crate::seal).
///
/// Scopes nest, in O(1): an inner one is part of the outer one. They are meant to be dropped in
/// reverse order of making, as local variables are; in another order the remaining ones may tell a
/// wrong peak and name.
///
/// ```standalone_crate
/// use tensor_pool::{PoolAllocator, Scope};
///
/// #[global_allocator]
/// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
///
/// assert!(ALLOCATOR.install());
/// let outer = Scope::new("outer");
/// let kept = vec![1_u8; 1000];
/// {
///     let _inner = Scope::new("inner");
///     drop(vec![2_u8; 5000]);
/// }
/// let usage = outer.usage().unwrap();
/// assert_eq!(usage.allocated_bytes, 6000);
/// assert_eq!(usage.change_bytes, 1000);
/// assert_eq!(usage.peak_bytes, 6000);
/// # drop(kept);
/// ```
#[derive(Debug)]
#[must_use = "it follows only while it lives"]
pub struct Scope {
    began: Option<Began>,
    /// It follows the thread it was made on.
    not_send: PhantomData<*const ()>,
}

/// How things stood.
#[derive(Clone, Copy, Debug)]
struct Began {
    followed: *const (),
    allocations: u64,
    allocated: u64,
    frees: u64,
    freed: u64,
    balance: i64,
    outer_name: Option<&'static str>,
    outer_peak: i64,
}

impl Scope {
    /// Begins to follow this thread. Follows nothing where no allocator is
    /// [installed](crate::PoolAllocator::install).
    pub fn new(name: &'static str) -> Self {
        let began = heap().map(|heap| {
            let tally = thread::tally();
            let followed = heap.counts.id();
            let balance = tally.balance();
            thread::set_tally(
                Tally {
                    peak: balance,
                    name: Some(name),
                    depth: tally.depth + 1,
                    ..tally
                },
                followed,
            );
            Began {
                followed,
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
            began,
            not_send: PhantomData,
        }
    }

    /// What this thread allocated and freed since the scope began; `None` where no allocator was
    /// [installed](crate::PoolAllocator::install) then.
    #[must_use]
    pub fn usage(&self) -> Option<ScopeUsage> {
        self.began.map(|began| {
            let now = thread::tally();
            ScopeUsage {
                allocations: now.allocations.wrapping_sub(began.allocations),
                allocated_bytes: now.allocated.wrapping_sub(began.allocated),
                frees: now.frees.wrapping_sub(began.frees),
                freed_bytes: now.freed.wrapping_sub(began.freed),
                change_bytes: now.balance().wrapping_sub(began.balance),
                peak_bytes: now.peak.saturating_sub(began.balance).max(0) as u64,
            }
        })
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(began) = self.began {
            let tally = thread::tally();
            thread::set_tally(
                Tally {
                    peak: tally.peak.max(began.outer_peak),
                    name: began.outer_name,
                    depth: tally.depth.saturating_sub(1),
                    ..tally
                },
                began.followed,
            );
        }
    }
}
