//! Records large requests that the pool could not serve.

use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

use super::heap::{Heap, heap};
use super::roster::{Entry, Roster};
use super::thread;
use bytesize::ByteSize;

/// Maximum number of requests that are recorded individually: enough to see a pattern, at 1.5 KiB
/// per seal.
const FIRST: usize = 64;

/// The roster name of process-wide seals. The name of a thread's seal is the identity of the
/// thread, an address.
const PROCESS: usize = 2;

/// The record is empty.
const EMPTY: usize = 0;
/// A thread is writing the record.
const BEING_WRITTEN: usize = 1;

/// One request. The thread that changes `size` from [`EMPTY`] to [`BEING_WRITTEN`] writes the
/// record. It is readable when `size` is greater than both.
struct Record {
    size: AtomicUsize,
    name: AtomicPtr<u8>,
    name_length: AtomicUsize,
}

/// The requests recorded by one seal.
pub(super) struct Log {
    count: AtomicU64,
    bytes: AtomicU64,
    first: [Record; FIRST],
}

impl Default for Log {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            first: [const {
                Record {
                    size: AtomicUsize::new(EMPTY),
                    name: AtomicPtr::new(ptr::null_mut()),
                    name_length: AtomicUsize::new(0),
                }
            }; FIRST],
        }
    }
}

impl Log {
    fn clear(&self) {
        self.count.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
        for record in &self.first {
            // A record that a thread is still writing belongs to the previous seal and is not
            // cleared.
            if record.size.load(Acquire) > BEING_WRITTEN {
                record.size.store(EMPTY, Relaxed);
            }
        }
    }

    fn add(&self, size: usize, scope: Option<&'static str>) {
        self.bytes.fetch_add(size as u64, Relaxed);
        let index = self.count.fetch_add(1, Relaxed);
        let Some(record) = self.first.get(index as usize) else {
            return;
        };
        let free = record
            .size
            .compare_exchange(EMPTY, BEING_WRITTEN, Acquire, Relaxed);
        if free.is_ok() {
            let name = scope.unwrap_or_default();
            let pointer = if scope.is_some() {
                name.as_ptr().cast_mut()
            } else {
                ptr::null_mut()
            };
            record.name.store(pointer, Relaxed);
            record.name_length.store(name.len(), Relaxed);
            record.size.store(size, Release);
        }
    }

    fn report(&self) -> SealReport {
        let first = self.first.iter().filter_map(|record| {
            let size = record.size.load(Acquire);
            (size > BEING_WRITTEN).then(|| Unserved {
                size_bytes: size as u64,
                scope: record.scope(),
            })
        });
        SealReport {
            count: self.count.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            first: first.collect(),
        }
    }
}

impl Record {
    /// Returns the scope of the request. Call this only after `size` was read as a size.
    fn scope(&self) -> Option<&'static str> {
        let name = self.name.load(Relaxed);
        if name.is_null() {
            return None;
        }
        let length = self.name_length.load(Relaxed);
        // SAFETY: both values are parts of one `&'static str`. Only one thread writes a record
        // until it is cleared, its size is stored last, and it is cleared only when no seal reads
        // it.
        Some(unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(name, length)) })
    }
}

/// The seals of an allocator.
pub(super) struct Seals(Roster<Log>);

impl Seals {
    pub(super) const fn new() -> Self {
        Self(Roster::new())
    }

    /// Records a large request to the inner allocator. The open scope is named only if it tracks
    /// `tracked`.
    pub(super) fn record(&self, size: usize, tracked: *const ()) {
        let mut open = self.0.open_entries().peekable();
        if open.peek().is_none() {
            return;
        }
        let identity = thread::identity();
        let scope = if thread::tracked() == tracked {
            thread::tally().name
        } else {
            None
        };
        for (name, log) in open {
            if name == PROCESS || name == identity {
                log.add(size, scope);
            }
        }
    }
}

/// A large request that the pool did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unserved {
    /// Size of the request.
    pub size_bytes: u64,
    /// The innermost [`Scope`](crate::Scope) that was open on the requesting thread.
    pub scope: Option<&'static str>,
}

/// The requests recorded by a [`Seal`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealReport {
    /// Number of large requests that the pool did not serve.
    pub count: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// The first 64 of them, in order. The order across threads is approximate.
    pub first: Vec<Unserved>,
}

impl SealReport {
    /// Whether the pool served every large request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Formats the report as one line, for assertion messages.
impl fmt::Display for SealReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("the pool served every large request");
        }
        write!(
            f,
            "{} large requests ({}) were not served by the pool:",
            self.count,
            ByteSize::b(self.bytes)
        )?;
        for (index, Unserved { size_bytes, scope }) in self.first.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma} {}", ByteSize::b(*size_bytes))?;
            if let Some(scope) = scope {
                write!(f, " in {scope}")?;
            }
        }
        if self.count > self.first.len() as u64 {
            f.write_str(", …")?;
        }
        Ok(())
    }
}

/// Records every request of 64 KiB or more that the pool does not serve during the lifetime of the
/// seal, because there is no idle block or because the request exceeds the largest class. Created
/// by [`seal`] and [`seal_process`]. Seals may overlap, and each one records independently.
///
/// Requests that the pool serves have no additional cost.
#[derive(Debug)]
pub struct Seal {
    log: Option<SealedLog>,
    /// The seal of a thread is valid on that thread only.
    not_send: PhantomData<*const ()>,
}

struct SealedLog(&'static Entry<Log>);

impl fmt::Debug for SealedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value().report().fmt(f)
    }
}

impl Seal {
    fn new(name: usize) -> Self {
        Self {
            log: heap().map(|heap: &'static Heap| {
                let Seals(roster) = &heap.seals;
                SealedLog(roster.open(name, Log::clear))
            }),
            not_send: PhantomData,
        }
    }

    /// Returns the requests recorded so far, or `None` if no allocator was
    /// [installed](crate::PoolAllocator::install) when the seal was created.
    #[must_use]
    pub fn report(&self) -> Option<SealReport> {
        self.log.as_ref().map(|SealedLog(log)| log.value().report())
    }
}

impl Drop for Seal {
    fn drop(&mut self) {
        if let Some(SealedLog(log)) = &self.log {
            log.close();
        }
    }
}

/// Seals this thread: records its large requests that the pool does not serve. Use it to test that
/// a steady state makes no large allocations, even if other threads do other work.
///
/// ```standalone_crate
/// use tensor_pool::{PoolAllocator, Scope, seal};
///
/// #[global_allocator]
/// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
///
/// fn frame() -> usize {
///     let _scope = Scope::new("frame");
///     std::hint::black_box(vec![0_u8; 300_000]).len()
/// }
///
/// assert!(ALLOCATOR.install());
/// let cold = seal();
/// frame();
/// assert_eq!(cold.report().unwrap().first[0].scope, Some("frame"));
///
/// let warm = seal();
/// frame();
/// let report = warm.report().unwrap();
/// assert!(report.is_empty(), "{report}");
/// ```
#[must_use = "a seal records only during its lifetime"]
pub fn seal() -> Seal {
    Seal::new(thread::identity())
}

/// Seals the whole process: records the large requests of all threads that the pool does not serve.
#[must_use = "a seal records only during its lifetime"]
pub fn seal_process() -> Seal {
    Seal::new(PROCESS)
}
