//! A list of reusable entries that is read without a lock.

use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicUsize};

/// The entry is free.
const FREE: usize = 0;
/// The entry is claimed and being initialized.
const CLAIMED: usize = 1;

/// A list of entries that users open and close and every allocation reads. A closed entry is reused
/// and never freed, so readers need neither waiting nor reclamation. The length of the list is the
/// maximum number of entries that were open at the same time.
pub(super) struct Roster<T> {
    head: AtomicPtr<Entry<T>>,
}

pub(super) struct Entry<T> {
    /// [`FREE`], [`CLAIMED`], or the name of an open entry.
    state: AtomicUsize,
    value: T,
    /// Written only before the entry is added to the list.
    next: *const Entry<T>,
}

// SAFETY: `next` points to an entry of the same list. That entry is only read through it and lives
// as long as this one. The other fields are `Sync` if `T` is.
unsafe impl<T: Send + Sync> Sync for Entry<T> {}
// SAFETY: as above; an entry is owned by its list, not by a thread.
unsafe impl<T: Send + Sync> Send for Entry<T> {}

impl<T> Entry<T> {
    pub(super) fn value(&self) -> &T {
        &self.value
    }

    /// Closes the entry and makes it available for reuse.
    pub(super) fn close(&self) {
        self.state.store(FREE, Release);
    }
}

impl<T: Default> Roster<T> {
    pub(super) const fn new() -> Self {
        Self {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Claims an entry, initializes it with `reset`, and makes it visible to readers under `name`,
    /// which is at least 2. Allocates a new entry if all are in use.
    pub(super) fn open(&self, name: usize, reset: impl FnOnce(&T)) -> &Entry<T> {
        let unused = self.entries().find(|entry| {
            entry
                .state
                .compare_exchange(FREE, CLAIMED, Acquire, Relaxed)
                .is_ok()
        });
        let entry = unused.unwrap_or_else(|| self.add());
        reset(&entry.value);
        // SeqCst: a reader either sees this entry, or the writes of that reader before its look-up
        // are visible to the user of the entry, which reads after this store.
        entry.state.store(name.max(CLAIMED + 1), SeqCst);
        entry
    }

    fn add(&self) -> &Entry<T> {
        let mut head = self.head.load(Acquire);
        let entry = Box::into_raw(Box::new(Entry {
            state: AtomicUsize::new(CLAIMED),
            value: T::default(),
            next: head,
        }));
        loop {
            match self.head.compare_exchange(head, entry, SeqCst, Acquire) {
                // SAFETY: the entry comes from a box that only `Roster::drop` frees.
                Ok(_) => return unsafe { &*entry },
                Err(now) => {
                    head = now;
                    // SAFETY: the entry is not on the list yet, so no other thread can access it.
                    unsafe { (*entry).next = head };
                }
            }
        }
    }

    /// Returns the open entries with their names.
    #[inline]
    pub(super) fn open_entries(&self) -> impl Iterator<Item = (usize, &T)> {
        self.entries().filter_map(|entry| {
            let name = entry.state.load(SeqCst);
            (name > CLAIMED).then_some((name, &entry.value))
        })
    }

    #[inline]
    fn entries(&self) -> impl Iterator<Item = &Entry<T>> {
        let mut next: *const Entry<T> = self.head.load(SeqCst);
        std::iter::from_fn(move || {
            // SAFETY: null or an entry of this list, which lives as long as the list.
            let entry = unsafe { next.as_ref() }?;
            next = entry.next;
            Some(entry)
        })
    }
}

impl<T> Drop for Roster<T> {
    fn drop(&mut self) {
        let mut next: *const Entry<T> = *self.head.get_mut();
        while !next.is_null() {
            // SAFETY: `add` created the entry from a box, and `&mut self` excludes readers.
            let entry = unsafe { Box::from_raw(next.cast_mut()) };
            next = entry.next;
        }
    }
}
