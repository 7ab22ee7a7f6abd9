//! Leases of stream state from the model's pool. A lease returns to the pool when it is dropped.

use burn::tensor::{DType, Device};
use tensor_pool::{Error, PagedLease, PooledTensor, Reuse, TensorRequest};

use crate::ledger::Ledger;

/// Leases the state of streams on one device.
#[derive(Clone, Debug)]
pub(crate) struct StateMemory {
    ledger: Ledger,
    device: Device,
}

impl StateMemory {
    /// Leases from the ledger's pool on `device`.
    pub(crate) fn new(ledger: Ledger, device: &Device) -> Self {
        Self {
            ledger,
            device: device.clone(),
        }
    }

    /// The ledger, which counts the leases.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
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
        self.ledger.pool().lease(request.tag(tag))
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
        self.ledger
            .pool()
            .lease(request.tag(tag).reuse(Reuse::AsIs))
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
        PagedLease::new(
            self.ledger.pool(),
            request.tag(tag).reuse(Reuse::AsIs),
            axis,
        )
    }
}

crate::traced::trace_fields!(StateMemory: ledger);
