//! Synchronisation types: those of loom in its tests, otherwise those of `std`.

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

/// Locks a mutex and ignores poisoning. No user code runs under these locks, and the guarded data
/// is consistent wherever an allocation may fail.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
