//! A limit, kept in three steps: planned before, admitted at the start, watched on the way.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tensor_pool::MemoryPool;

use super::{Counted, StreamNeed, counted};
use crate::error::{Error, MemoryLimitExceeded, Result};
use crate::model::ModelParts;

/// What the process's streams have been admitted with, in bytes. Held while a stream is admitted, so
/// that two never see the same room.
static RESERVED: Mutex<u64> = Mutex::new(0);

fn lock() -> MutexGuard<'static, u64> {
    // A number is whole whatever happened to who held it.
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the process's streams may take between them until they end.
#[must_use]
pub fn reserved() -> u64 {
    *lock()
}

/// What one stream was admitted with, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation(u64);

impl Reservation {
    /// Without asking whether there is room.
    pub(crate) fn take(bytes: u64) -> Self {
        Self::add(&mut lock(), bytes)
    }

    fn add(reserved: &mut u64, bytes: u64) -> Self {
        *reserved += bytes;
        Self(bytes)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        *lock() -= self.0;
    }
}

type Reclaim = dyn Fn() + Send + Sync;

/// A limit on the counted bytes of the process, see [`Counted`], that a stream keeps.
///
/// A stream that cannot be sure to stay below it does not start. One that finds it exceeded on the way,
/// because something else took memory, frees what it can, speaks fewer parts of its text at once from
/// the next one on, and then ends.
#[derive(Clone)]
pub struct MemoryLimit {
    limit: u64,
    reclaim: Option<Arc<Reclaim>>,
}

impl MemoryLimit {
    /// A limit.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            reclaim: None,
        }
    }

    /// With something that frees what its user can do without, such as cached voices. It is called when
    /// memory is short, after the pool's idle tensors were freed, from any thread, and while no other stream
    /// can be admitted: it must neither start speech nor ask what is [`present`] or [`reserved`].
    #[must_use]
    pub fn with_reclaim(self, reclaim: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            reclaim: Some(Arc::new(reclaim)),
            ..self
        }
    }

    /// The limit.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.limit
    }

    /// Whether a model can be loaded.
    ///
    /// # Errors
    ///
    /// [`Error::MemoryLimitTooLow`], if there is no room for it.
    pub fn admit_loading(&self, pool: &MemoryPool, model: &ModelParts) -> Result<()> {
        let needed = || present(pool).saturating_add(model.loading_bytes());
        if needed() > self.limit {
            pool.trim(0);
            self.reclaim();
        }
        match needed() {
            needed if needed > self.limit => Err(Error::MemoryLimitTooLow {
                what: "loading the model",
                limit_bytes: self.limit,
                needed_bytes: needed,
                present_bytes: present(pool),
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn admit(
        &self,
        pool: &MemoryPool,
        need: &StreamNeed,
        wanted: usize,
    ) -> Result<(Reservation, usize)> {
        let mut reserved = lock();
        let parts = self.fit(*reserved, pool, need, wanted)?;
        Ok((Reservation::add(&mut reserved, need.bytes(parts)), parts))
    }

    fn fit(
        &self,
        reserved: u64,
        pool: &MemoryPool,
        need: &StreamNeed,
        wanted: usize,
    ) -> Result<usize> {
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
            0 => Err(Error::MemoryLimitTooLow {
                what: "the speech",
                limit_bytes: self.limit,
                needed_bytes: present_with(reserved, pool).saturating_add(need.bytes(1)),
                present_bytes: present_with(reserved, pool),
            }),
            fitting => Ok(fitting.min(wanted)),
        }
    }

    fn fitting(&self, reserved: u64, pool: &MemoryPool, need: &StreamNeed) -> usize {
        let present = present_with(reserved, pool).saturating_add(need.fixed());
        if present > self.limit {
            return 0;
        }
        let room = self.limit.saturating_sub(present);
        (room / need.per_part().max(1)) as usize
    }

    /// Whether the limit holds now; frees what can be done without if it does not.
    pub(crate) fn check(&self, pool: &MemoryPool) -> Result<()> {
        let is_kept = || counted(pool).total() <= self.limit;
        if is_kept() {
            return Ok(());
        }
        pool.trim(0);
        if is_kept() {
            return Ok(());
        }
        self.reclaim();
        let counted = counted(pool).total();
        if counted <= self.limit {
            return Ok(());
        }
        Err(Error::MemoryLimitExceeded(Box::new(MemoryLimitExceeded {
            limit_bytes: self.limit,
            counted_bytes: counted,
            audio: Vec::new(),
        })))
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
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// What the process holds, and may come to hold until its streams end, in counted bytes: what a further
/// stream comes on top of. Idle tensors of the pool are part of it.
#[must_use]
pub fn present(pool: &MemoryPool) -> u64 {
    present_with(*lock(), pool)
}

/// What streams have leased is part of what they were admitted with.
fn present_with(reserved: u64, pool: &MemoryPool) -> u64 {
    let now: Counted = counted(pool);
    now.total()
        .saturating_sub(now.state)
        .saturating_add(reserved)
}
