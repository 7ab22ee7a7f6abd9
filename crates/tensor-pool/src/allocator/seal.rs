//! Records large requests that the pool could not serve.

mod log;
mod report;

use std::fmt;
use std::marker::PhantomData;

use super::heap::{Heap, heap};
use super::roster::{Entry, Roster};
use super::thread;
use log::Log;

pub use report::{SealReport, Unserved, UnservedScope};

/// The roster name of process-wide seals. The name of a thread's seal is the identity of the
/// thread, an address.
const PROCESS: usize = 2;

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

/// Records every request of 64 KiB or more that the pool does not serve during the lifetime of the
/// seal, because there is no idle block or because the block is larger than the capacity. Created
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
