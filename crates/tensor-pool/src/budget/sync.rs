//! The parts of `std` that loom has a model of: its own while it tests this crate, else `std`'s.

#[cfg(all(loom, test))]
pub(super) use loom::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::yield_now,
};
#[cfg(not(all(loom, test)))]
pub(super) use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::yield_now,
};

/// Locks. No code of a user runs under these locks, and what they guard is whole at every point
/// where memory could run out, so a poisoned one is as good as any.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
