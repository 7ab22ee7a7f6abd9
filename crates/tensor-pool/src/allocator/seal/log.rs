//! The requests that one seal records.

use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

use super::report::{SealReport, Unserved, UnservedScope};

/// Maximum number of requests that are recorded individually: enough to see a pattern, at 1.5 KiB
/// per seal.
const FIRST: usize = 64;

/// Maximum number of scopes whose requests are summed: more than a program names, at 1.25 KiB per
/// seal.
const SCOPES: usize = 32;

/// The record is empty.
const EMPTY: usize = 0;
/// A thread is writing the record.
const BEING_WRITTEN: usize = 1;

/// The sum is readable.
const WRITTEN: usize = 2;

/// The name of a scope, or of none.
struct Name {
    start: AtomicPtr<u8>,
    length: AtomicUsize,
}

impl Name {
    const fn new() -> Self {
        Self {
            start: AtomicPtr::new(ptr::null_mut()),
            length: AtomicUsize::new(0),
        }
    }

    /// Returns the address and the length of a name. Equal names may have different addresses.
    fn parts(scope: Option<&'static str>) -> (*mut u8, usize) {
        match scope {
            Some(name) => (name.as_ptr().cast_mut(), name.len()),
            None => (ptr::null_mut(), 0),
        }
    }

    fn set(&self, scope: Option<&'static str>) {
        let (start, length) = Self::parts(scope);
        self.start.store(start, Relaxed);
        self.length.store(length, Relaxed);
    }

    fn is(&self, scope: Option<&'static str>) -> bool {
        (self.start.load(Relaxed), self.length.load(Relaxed)) == Self::parts(scope)
    }

    /// # Safety
    /// `set` must have returned, and its writes must be visible to this thread. No other thread may
    /// call `set` meanwhile.
    unsafe fn get(&self) -> Option<&'static str> {
        let start = self.start.load(Relaxed);
        if start.is_null() {
            return None;
        }
        let length = self.length.load(Relaxed);
        // SAFETY: both values are parts of one `&'static str`, as the caller guarantees.
        Some(unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(start, length)) })
    }
}

/// One request. The thread that changes `size` from [`EMPTY`] to [`BEING_WRITTEN`] writes the
/// record. It is readable when `size` is greater than both.
struct Record {
    size: AtomicUsize,
    name: Name,
}

/// The requests of one scope. The thread that changes `state` from [`EMPTY`] to [`BEING_WRITTEN`]
/// writes the name, which is readable when `state` is [`WRITTEN`].
struct Sum {
    state: AtomicUsize,
    name: Name,
    count: AtomicU64,
    bytes: AtomicU64,
}

/// The requests recorded by one seal.
pub(in crate::allocator) struct Log {
    count: AtomicU64,
    bytes: AtomicU64,
    sums: [Sum; SCOPES],
    first: [Record; FIRST],
}

impl Default for Log {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            sums: [const {
                Sum {
                    state: AtomicUsize::new(EMPTY),
                    name: Name::new(),
                    count: AtomicU64::new(0),
                    bytes: AtomicU64::new(0),
                }
            }; SCOPES],
            first: [const {
                Record {
                    size: AtomicUsize::new(EMPTY),
                    name: Name::new(),
                }
            }; FIRST],
        }
    }
}

impl Log {
    pub(super) fn clear(&self) {
        self.count.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
        for sum in &self.sums {
            if sum.state.load(Acquire) == WRITTEN {
                sum.count.store(0, Relaxed);
                sum.bytes.store(0, Relaxed);
                sum.state.store(EMPTY, Relaxed);
            }
        }
        for record in &self.first {
            // A record that a thread is still writing belongs to the previous seal and is not
            // cleared.
            if record.size.load(Acquire) > BEING_WRITTEN {
                record.size.store(EMPTY, Relaxed);
            }
        }
    }

    pub(super) fn add(&self, size: usize, scope: Option<&'static str>) {
        self.bytes.fetch_add(size as u64, Relaxed);
        if let Some(sum) = self.sum_of(scope) {
            sum.count.fetch_add(1, Relaxed);
            sum.bytes.fetch_add(size as u64, Relaxed);
        }
        let index = self.count.fetch_add(1, Relaxed);
        let Some(record) = self.first.get(index as usize) else {
            return;
        };
        let free = record
            .size
            .compare_exchange(EMPTY, BEING_WRITTEN, Acquire, Relaxed);
        if free.is_ok() {
            record.name.set(scope);
            record.size.store(size, Release);
        }
    }

    /// Returns the sum of a scope, or `None` if all sums belong to other scopes. A scope may get
    /// two sums, if two threads record its first requests at the same time.
    fn sum_of(&self, scope: Option<&'static str>) -> Option<&Sum> {
        self.sums.iter().find(|sum| {
            match sum
                .state
                .compare_exchange(EMPTY, BEING_WRITTEN, Acquire, Acquire)
            {
                Ok(_) => {
                    sum.name.set(scope);
                    sum.state.store(WRITTEN, Release);
                    true
                }
                Err(state) => state == WRITTEN && sum.name.is(scope),
            }
        })
    }

    /// Returns the sums by scope, in the order of the first request.
    fn sums(&self) -> Vec<UnservedScope> {
        let mut scopes: Vec<UnservedScope> = Vec::new();
        for sum in &self.sums {
            if sum.state.load(Acquire) != WRITTEN {
                continue;
            }
            // SAFETY: the state is stored after the name, and one thread writes a sum until it is
            // cleared, as in `report`.
            let scope = unsafe { sum.name.get() };
            let (count, bytes) = (sum.count.load(Relaxed), sum.bytes.load(Relaxed));
            match scopes.iter_mut().find(|other| other.scope == scope) {
                Some(other) => {
                    other.count += count;
                    other.bytes += bytes;
                }
                None => scopes.push(UnservedScope {
                    scope,
                    count,
                    bytes,
                }),
            }
        }
        scopes
    }

    /// Only the seal that opened the log may call this. The log is cleared when the next seal opens
    /// it.
    pub(super) fn report(&self) -> SealReport {
        let first = self.first.iter().filter_map(|record| {
            let size = record.size.load(Acquire);
            (size > BEING_WRITTEN).then(|| Unserved {
                size_bytes: size as u64,
                // SAFETY: the size is stored after the name, and one thread writes a record until
                // it is cleared, which happens only when no seal reads it.
                scope: unsafe { record.name.get() },
            })
        });
        SealReport {
            count: self.count.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            scopes: self.sums(),
            first: first.collect(),
        }
    }
}
