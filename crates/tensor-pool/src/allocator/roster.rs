//! A list of things that come and go, read without a lock.

use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicUsize};

/// Nobody uses the entry.
const FREE: usize = 0;
/// Somebody is making the entry ready.
const CLAIMED: usize = 1;

/// Entries that are opened and closed by their users and read by every allocation. An entry that is
/// closed is used again, never freed, so a reader never meets one that is gone and waits for
/// nobody. The list is as long as most entries were open at once.
pub(super) struct Roster<T> {
    head: AtomicPtr<Entry<T>>,
}

pub(super) struct Entry<T> {
    /// [`FREE`], [`CLAIMED`], or what the user of an open entry calls it.
    state: AtomicUsize,
    value: T,
    /// Written before the entry is on the list, never again.
    next: *const Entry<T>,
}

// SAFETY: `next` points at an entry of the same list, which is only read through it and lives as
// long as this one; the rest is `Sync` where `T` is.
unsafe impl<T: Send + Sync> Sync for Entry<T> {}
// SAFETY: as above; an entry is owned by its list, not by a thread.
unsafe impl<T: Send + Sync> Send for Entry<T> {}

impl<T> Entry<T> {
    pub(super) fn value(&self) -> &T {
        &self.value
    }

    /// Leaves the entry to the next user.
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

    /// An entry that nobody else has, made ready by `reset`, then shown to readers under a `name`
    /// of at least 2. Allocates when all entries are in use.
    pub(super) fn open(&self, name: usize, reset: impl FnOnce(&T)) -> &Entry<T> {
        let unused = self.entries().find(|entry| {
            entry
                .state
                .compare_exchange(FREE, CLAIMED, Acquire, Relaxed)
                .is_ok()
        });
        let entry = unused.unwrap_or_else(|| self.add());
        reset(&entry.value);
        // SeqCst: from here on either a reader sees this entry, or what it did before it looked is
        // seen by the user, who reads after this.
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
                // SAFETY: it comes from a box that only `Roster::drop` takes back.
                Ok(_) => return unsafe { &*entry },
                Err(now) => {
                    head = now;
                    // SAFETY: not on the list yet, so nobody else sees it.
                    unsafe { (*entry).next = head };
                }
            }
        }
    }

    /// The open entries and their names.
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
            // SAFETY: `add` made it from a box; nobody reads the list any more, as this is `&mut`.
            let entry = unsafe { Box::from_raw(next.cast_mut()) };
            next = entry.next;
        }
    }
}
