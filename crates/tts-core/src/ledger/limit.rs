//! Memory limits: admission before a stream starts, and checks while it runs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use batch_planner::{MemoryBudget, MemoryModel, Sequences, Term};
use tensor_pool::MemoryPool;

use super::{MemoryError, counted};

/// Bytes that the process's streams were admitted with. The lock is held during an admission, so two
/// streams cannot claim the same bytes.
static RESERVED: Mutex<u64> = Mutex::new(0);

fn lock() -> MutexGuard<'static, u64> {
    // An integer is valid even if a thread panicked while it held the lock.
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the bytes that the process's running streams may use in total until they end.
#[must_use]
pub fn reserved() -> u64 {
    *lock()
}

/// Returns the counted bytes of the process once its running streams have used all that they reserved.
/// A further stream adds to this. Idle tensors of the pool are included.
#[must_use]
pub fn present(pool: &MemoryPool) -> u64 {
    present_with(*lock(), pool)
}

/// Leases of streams are part of their reservations.
fn present_with(reserved: u64, pool: &MemoryPool) -> u64 {
    let now = counted(pool);
    now.total().saturating_sub(now.state) + reserved
}

/// The bytes that one stream was admitted with, reserved until this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    bytes: u64,
}

impl Reservation {
    /// Reserves bytes without a limit.
    pub(crate) fn unlimited(bytes: u64) -> Self {
        Self::add(&mut lock(), bytes)
    }

    fn add(reserved: &mut u64, bytes: u64) -> Self {
        *reserved += bytes;
        Self { bytes }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        *lock() -= self.bytes;
    }
}

/// The memory that a batch needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNeed {
    /// Bytes independent of the batch size.
    pub(crate) fixed_bytes: u64,
    /// Bytes of each item of the batch.
    pub(crate) bytes_per_item: u64,
}

impl BatchNeed {
    pub(crate) fn bytes(&self, batch_size: usize) -> u64 {
        let items = self.bytes_per_item.saturating_mul(batch_size as u64);
        self.fixed_bytes.saturating_add(items)
    }

    fn model(&self) -> MemoryModel {
        let batch = Term::new("batch").fixed(self.fixed_bytes);
        MemoryModel::new().with(batch.per_item(self.bytes_per_item))
    }
}

type Reclaim = dyn Fn() + Send + Sync;

/// A limit on the [counted](super::Counted) bytes of the process, checked before and during a stream.
///
/// A stream that may exceed the limit does not start. If other code allocates memory while the stream
/// runs, the stream first frees what it can. Then it reduces its batch size from the next segment on.
/// If that is not enough, the stream ends with an error.
#[derive(Clone)]
pub struct MemoryLimit {
    limit_bytes: u64,
    reclaim: Option<Arc<Reclaim>>,
}

impl MemoryLimit {
    /// Creates a limit.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            reclaim: None,
        }
    }

    /// Adds a function that frees memory the caller can do without, such as cached voices.
    ///
    /// It is called when memory is short, after the pool's idle tensors were freed. It may run on any
    /// thread, and no other stream can be admitted meanwhile. It must not start speech or call
    /// [`present`] or [`reserved`].
    #[must_use]
    pub fn with_reclaim(self, reclaim: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            reclaim: Some(Arc::new(reclaim)),
            ..self
        }
    }

    /// Returns the limit.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Checks that a model fits the limit if loading it takes at most `loading_bytes`.
    ///
    /// # Errors
    ///
    /// [`MemoryError::LimitTooLow`] if it does not fit.
    pub fn admit_loading(&self, pool: &MemoryPool, loading_bytes: u64) -> Result<(), MemoryError> {
        let needed = || present(pool).saturating_add(loading_bytes);
        if needed() > self.limit_bytes {
            pool.trim(0);
            self.reclaim();
        }
        match needed() {
            needed_bytes if needed_bytes > self.limit_bytes => Err(MemoryError::LimitTooLow {
                what: "loading the model",
                limit_bytes: self.limit_bytes,
                needed_bytes,
                present_bytes: present(pool),
            }),
            _ => Ok(()),
        }
    }

    /// Reserves the memory of the largest batch of up to `wanted` items that fits. Also returns
    /// the batch size.
    pub(crate) fn admit(
        &self,
        pool: &MemoryPool,
        need: &BatchNeed,
        wanted: usize,
    ) -> Result<(Reservation, usize), MemoryError> {
        let mut reserved = lock();
        let batch_size = self.fit(*reserved, pool, need, wanted)?;
        let reservation = Reservation::add(&mut reserved, need.bytes(batch_size));
        Ok((reservation, batch_size))
    }

    fn fit(
        &self,
        reserved: u64,
        pool: &MemoryPool,
        need: &BatchNeed,
        wanted: usize,
    ) -> Result<usize, MemoryError> {
        let wanted = wanted.max(1);
        let mut fitting = self.fitting(reserved, pool, need);
        if fitting < wanted {
            pool.trim(0);
            fitting = self.fitting(reserved, pool, need);
        }
        if fitting == 0 {
            self.reclaim();
            fitting = self.fitting(reserved, pool, need);
        }
        match fitting {
            0 => {
                let present_bytes = present_with(reserved, pool);
                Err(MemoryError::LimitTooLow {
                    what: "the speech",
                    limit_bytes: self.limit_bytes,
                    needed_bytes: present_bytes.saturating_add(need.bytes(1)),
                    present_bytes,
                })
            }
            fitting => Ok(fitting.min(wanted)),
        }
    }

    /// Returns the number of items that fit now.
    fn fitting(&self, reserved: u64, pool: &MemoryPool, need: &BatchNeed) -> usize {
        let budget = MemoryBudget::new(self.limit_bytes, need.model())
            .with_used(present_with(reserved, pool));
        // The items are equal, and the model contains their length.
        let items = Sequences {
            count: u64::MAX,
            length: 0,
        };
        // More than 2^64 bytes fit no limit.
        let capacity = budget.capacity(&[items], u64::MAX);
        capacity.map_or(0, |capacity| capacity.batch_size as usize)
    }

    /// Checks that the process is within the limit, and frees memory if it is not.
    pub(crate) fn check(&self, pool: &MemoryPool) -> Result<(), MemoryError> {
        let counted = || counted(pool).total();
        if counted() <= self.limit_bytes {
            return Ok(());
        }
        pool.trim(0);
        if counted() <= self.limit_bytes {
            return Ok(());
        }
        self.reclaim();
        match counted() {
            counted_bytes if counted_bytes > self.limit_bytes => Err(MemoryError::LimitExceeded {
                limit_bytes: self.limit_bytes,
                counted_bytes,
            }),
            _ => Ok(()),
        }
    }

    fn reclaim(&self) {
        if let Some(reclaim) = &self.reclaim {
            reclaim();
        }
    }
}

impl fmt::Debug for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimit")
            .field("limit_bytes", &self.limit_bytes)
            .finish_non_exhaustive()
    }
}
