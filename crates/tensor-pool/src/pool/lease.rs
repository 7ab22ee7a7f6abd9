//! A tensor for as long as somebody needs it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use burn::tensor::kind::Basic;
use burn::tensor::{Float, Tensor};

use super::Shared;
use super::key::Key;
use super::layout::Condition;
use crate::Reservation;

/// A leased tensor; dropping it returns it to its pool.
///
/// Burn's operations take tensors by value and copy a tensor's memory before they write to it
/// while somebody else holds it too. So a leased tensor is read through a reference, and written
/// through [`update`](Self::update), which lends it by value: an operation that can work in place
/// then does. A clone taken from it is an ordinary tensor that never changes; as long as it lives,
/// writing copies, and a tensor that is returned meanwhile cannot be leased again.
pub struct PooledTensor<const D: usize, K: Basic = Float> {
    /// `None` only while `update` runs and after it panicked.
    tensor: Option<Tensor<D, K>>,
    lease: Lease,
}

/// What goes back when a tensor does.
pub(super) struct Lease {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    pub(super) id: u64,
    pub(super) bytes: u64,
    pub(super) reservation: Option<Reservation>,
}

/// The tensor is away only if an update panicked, which has to be caught to get here.
const LOST: &str = "an update of this tensor panicked and took the tensor with it";

impl<const D: usize, K: Basic> PooledTensor<D, K> {
    pub(super) fn new(tensor: Tensor<D, K>, lease: Lease) -> Self {
        Self {
            tensor: Some(tensor),
            lease,
        }
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lease.bytes
    }

    /// Replaces the tensor by what `change` makes of it.
    ///
    /// # Panics
    ///
    /// If an earlier update panicked.
    pub fn update(&mut self, change: impl FnOnce(Tensor<D, K>) -> Tensor<D, K>) {
        self.update_with(|tensor| (change(tensor), ()));
    }

    /// As [`update`](Self::update), for a change that has something else to tell.
    ///
    /// # Panics
    ///
    /// If an earlier update panicked.
    pub fn update_with<R>(&mut self, change: impl FnOnce(Tensor<D, K>) -> (Tensor<D, K>, R)) -> R {
        let tensor = self.tensor.take().expect(LOST);
        let (tensor, result) = change(tensor);
        self.tensor = Some(tensor);
        result
    }

    /// Takes the tensor out for good: the pool forgets it, and so does the budget.
    ///
    /// # Panics
    ///
    /// If an update panicked.
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
        // Not counted twice: an idle tensor has a reservation of its own.
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
            Condition::LaidOut => shared.counters.dropped_changed(),
            Condition::AsNew if shared.keep(key, tensor, *bytes) => {}
            Condition::AsNew => shared.counters.dropped_full(),
        }
    }
}
