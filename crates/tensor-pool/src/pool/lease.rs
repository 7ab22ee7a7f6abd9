//! Leased tensors.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use burn::tensor::kind::Basic;
use burn::tensor::{Float, Tensor};

use super::Shared;
use super::key::Key;
use super::layout::Condition;
use crate::Reservation;

/// A leased tensor. Dropping it returns it to its pool.
///
/// Burn's operations take tensors by value. They copy the buffer before they write to it if the
/// buffer has another owner. A leased tensor is therefore read through a reference, and written
/// through [`update`](Self::update), which passes it by value: an operation that supports it then
/// works in place.
///
/// A clone of a leased tensor is an ordinary tensor that never changes. While the clone exists,
/// writes copy the buffer, and a tensor that is returned in that time cannot be leased again.
pub struct PooledTensor<const D: usize, K: Basic = Float> {
    /// `None` only while `update` runs and after it panicked.
    tensor: Option<Tensor<D, K>>,
    lease: Lease,
}

/// The data that is needed to return a tensor.
pub(super) struct Lease {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    pub(super) id: u64,
    pub(super) bytes: u64,
    pub(super) reservation: Option<Reservation>,
}

/// The tensor is missing only after an update panicked and the panic was caught.
const LOST: &str = "the tensor was lost because an earlier update panicked";

impl<const D: usize, K: Basic> PooledTensor<D, K> {
    pub(super) fn new(tensor: Tensor<D, K>, lease: Lease) -> Self {
        Self {
            tensor: Some(tensor),
            lease,
        }
    }

    /// Returns the size of the tensor in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lease.bytes
    }

    /// Replaces the tensor with the result of `change`.
    ///
    /// # Panics
    ///
    /// Panics if an earlier update panicked.
    pub fn update(&mut self, change: impl FnOnce(Tensor<D, K>) -> Tensor<D, K>) {
        self.update_with(|tensor| (change(tensor), ()));
    }

    /// Replaces the tensor as [`update`](Self::update) does, and returns the second result of
    /// `change`.
    ///
    /// # Panics
    ///
    /// Panics if an earlier update panicked.
    pub fn update_with<R>(&mut self, change: impl FnOnce(Tensor<D, K>) -> (Tensor<D, K>, R)) -> R {
        let tensor = self.tensor.take().expect(LOST);
        let (tensor, result) = change(tensor);
        self.tensor = Some(tensor);
        result
    }

    /// Removes the tensor from the pool and returns it. Its reservation in the budget is released.
    ///
    /// # Panics
    ///
    /// Panics if an earlier update panicked.
    #[must_use]
    pub fn detach(mut self) -> Tensor<D, K> {
        self.tensor.take().expect(LOST)
    }
}

impl<const D: usize, K: Basic> Deref for PooledTensor<D, K> {
    type Target = Tensor<D, K>;

    fn deref(&self) -> &Tensor<D, K> {
        self.tensor.as_ref().expect(LOST)
    }
}

impl<const D: usize, K: Basic> fmt::Debug for PooledTensor<D, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledTensor")
            .field("key", &self.lease.key)
            .field("bytes", &self.lease.bytes)
            .finish_non_exhaustive()
    }
}

impl<const D: usize, K: Basic> Drop for PooledTensor<D, K> {
    fn drop(&mut self) {
        let Lease {
            shared,
            key,
            id,
            bytes,
            reservation,
        } = &mut self.lease;
        // Released first, because an idle tensor has its own reservation.
        drop(reservation.take());
        shared.outstanding.remove(id);
        shared.counters.returned(*bytes);
        let Some(tensor) = self.tensor.take() else {
            return;
        };
        let device = shared.devices.index(&tensor.device());
        if Key::new(&tensor.dims(), tensor.dtype(), device) != *key {
            return shared.counters.dropped_changed();
        }
        let tensor = tensor.into_dispatch();
        match Condition::of(&tensor) {
            Condition::Shared => shared.counters.dropped_shared(),
            Condition::OtherLayout => shared.counters.dropped_changed(),
            Condition::AsNew if shared.retain(key, tensor, *bytes) => {}
            Condition::AsNew => shared.counters.dropped_full(),
        }
    }
}
