//! Leases of stream state from the model's pool. A lease returns to the pool when it is dropped.

use burn::tensor::{DType, Device};
use tensor_pool::{Error, MemoryPool, PagedLease, PooledTensor, Reuse, TensorRequest};

/// Leases the state of streams on one device.
#[derive(Clone, Debug)]
pub(crate) struct StateMemory {
    pool: MemoryPool,
    device: Device,
}

impl StateMemory {
    /// Leases from `pool` on `device`.
    pub(crate) fn new(pool: MemoryPool, device: &Device) -> Self {
        Self {
            pool,
            device: device.clone(),
        }
    }

    /// The pool.
    pub(crate) fn pool(&self) -> &MemoryPool {
        &self.pool
    }

    /// Leases a tensor of zeros; `tag` names it in reports.
    ///
    /// # Errors
    ///
    /// The pool has no memory left.
    pub(crate) fn zeros<const D: usize>(
        &self,
        shape: [usize; D],
        tag: &'static str,
    ) -> Result<PooledTensor<D>, Error> {
        let request = TensorRequest::new(shape, DType::F32, &self.device);
        self.pool.lease(request.tag(tag))
    }

    /// Leases a tensor that must be written before it is read.
    ///
    /// # Errors
    ///
    /// As [`Self::zeros`].
    pub(crate) fn uninitialised<const D: usize>(
        &self,
        shape: [usize; D],
        tag: &'static str,
    ) -> Result<PooledTensor<D>, Error> {
        let request = TensorRequest::new(shape, DType::F32, &self.device);
        self.pool.lease(request.tag(tag).reuse(Reuse::AsIs))
    }

    /// Leases an empty sequence of pages, each of which must be written before it is read.
    ///
    /// # Errors
    ///
    /// As [`Self::zeros`].
    pub(crate) fn pages<const D: usize>(
        &self,
        page: [usize; D],
        axis: usize,
        tag: &'static str,
    ) -> Result<PagedLease<D>, Error> {
        let request = TensorRequest::new(page, DType::F32, &self.device);
        PagedLease::new(&self.pool, request.tag(tag).reuse(Reuse::AsIs), axis)
    }
}
