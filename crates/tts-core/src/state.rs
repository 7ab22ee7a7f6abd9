//! Where streams keep what they remember: leased from the model's pool, and back in it when a
//! stream ends.

use burn::tensor::{DType, Device};
use tensor_pool::{MemoryPool, PagedLease, PooledTensor, Reuse, TensorRequest};

use crate::error::Result;

/// The memory of streams on one device.
#[derive(Clone, Debug)]
pub(crate) struct StateMemory {
    pool: MemoryPool,
    device: Device,
}

impl StateMemory {
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

    /// Zeros.
    pub(crate) fn zeros<const D: usize>(
        &self,
        shape: [usize; D],
        tag: &'static str,
    ) -> Result<PooledTensor<D>> {
        let request = TensorRequest::new(shape, DType::F32, &self.device);
        Ok(self.pool.lease(request.tag(tag))?)
    }

    /// A tensor that is written before it is read.
    pub(crate) fn unset<const D: usize>(
        &self,
        shape: [usize; D],
        tag: &'static str,
    ) -> Result<PooledTensor<D>> {
        let request = TensorRequest::new(shape, DType::F32, &self.device);
        Ok(self.pool.lease(request.tag(tag).reuse(Reuse::AsIs))?)
    }

    /// A sequence without steps, whose pages are written before they are read.
    pub(crate) fn pages<const D: usize>(
        &self,
        page: [usize; D],
        axis: usize,
        tag: &'static str,
    ) -> Result<PagedLease<D>> {
        let request = TensorRequest::new(page, DType::F32, &self.device);
        let request = request.tag(tag).reuse(Reuse::AsIs);
        Ok(PagedLease::new(&self.pool, request, axis)?)
    }
}
