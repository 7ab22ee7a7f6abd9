//! Admission of work: its reservation, and the limit that it was admitted under.

use std::borrow::Cow;
use std::sync::PoisonError;

use batch_planner::MemoryModel;
use tensor_pool::{Budget, Reservation};

use super::{Ledger, MemoryError};

/// Work that was admitted. Its bytes stay reserved until this is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    ledger: Ledger,
    /// The request's part of the process's budget.
    budget: Budget,
    own_limit_bytes: Option<u64>,
    reservation: Reservation,
}

impl Ledger {
    /// Reserves bytes for work that starts now. `what` names the work in messages.
    ///
    /// If the bytes do not fit, memory that can be freed is freed first.
    pub(crate) fn admit(
        &self,
        own_limit_bytes: Option<u64>,
        what: &'static str,
        bytes: u64,
    ) -> Result<Admission, MemoryError> {
        let budget = self.0.budget.child(what, None);
        let mut reservation = self.reserve(&budget, own_limit_bytes, what, bytes);
        if reservation.is_none() {
            let fits = || self.fits(own_limit_bytes, bytes);
            self.free_until(fits);
            reservation = self.reserve(&budget, own_limit_bytes, what, bytes);
        }
        let Some(reservation) = reservation else {
            let present_bytes = self.present_bytes();
            return Err(MemoryError::LimitTooLow {
                what,
                limit_bytes: self
                    .effective_limit_bytes(own_limit_bytes)
                    .unwrap_or(u64::MAX),
                needed_bytes: present_bytes.saturating_add(bytes),
                present_bytes,
            });
        };
        Ok(Admission {
            ledger: self.clone(),
            budget,
            own_limit_bytes,
            reservation,
        })
    }

    /// Reserves the memory of a batch: of one sequence, and slots for as many more as fit, up to
    /// `max_batch_size` in total.
    pub(crate) fn admit_batch(
        &self,
        own_limit_bytes: Option<u64>,
        model: &MemoryModel,
        length: u64,
        max_batch_size: usize,
    ) -> Result<(Admission, Vec<Reservation>), MemoryError> {
        let bytes = |batch_size| model.bytes(batch_size, length).unwrap_or(u64::MAX);
        let admission = self.admit(own_limit_bytes, "the speech", bytes(1))?;
        let slot_bytes = bytes(2).saturating_sub(bytes(1));
        let slots = (1..max_batch_size).map_while(|_| admission.reserve_slot(slot_bytes));
        let slots = slots.collect();
        Ok((admission, slots))
    }

    fn fits(&self, own_limit_bytes: Option<u64>, bytes: u64) -> bool {
        let needed_bytes = self.present_bytes().saturating_add(bytes);
        self.effective_limit_bytes(own_limit_bytes)
            .is_none_or(|limit| needed_bytes <= limit)
    }

    /// Reserves bytes if they fit. Limits on counted bytes become limits on reservations: the memory that
    /// is in use otherwise is subtracted from them.
    fn reserve(
        &self,
        budget: &Budget,
        own_limit_bytes: Option<u64>,
        what: impl Into<Cow<'static, str>>,
        bytes: u64,
    ) -> Option<Reservation> {
        let root = &self.0.budget;
        let _admission = self
            .0
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let unreserved_bytes = self.unreserved_bytes();
        let left = |limit_bytes: Option<u64>, other_bytes: u64| {
            limit_bytes.map(|limit| limit.saturating_sub(unreserved_bytes + other_bytes))
        };
        root.set_limit(left(self.limit_bytes(), 0));
        // A request's own limit applies to the whole process too.
        let other_bytes = root.used_bytes().saturating_sub(budget.used_bytes());
        budget.set_limit(left(own_limit_bytes, other_bytes));
        budget.reserve(bytes, what).ok()
    }
}

impl Admission {
    /// Reserves the memory of a further sequence of the batch. `None` if it does not fit now.
    pub(crate) fn reserve_slot(&self, bytes: u64) -> Option<Reservation> {
        let ledger = &self.ledger;
        let reserve = || ledger.reserve(&self.budget, self.own_limit_bytes, "batch", bytes);
        reserve().or_else(|| {
            // Idle tensors are probably those of a sequence that has ended.
            ledger.0.pool.trim(0);
            reserve()
        })
    }

    /// Releases some of the reserved bytes, because they are counted otherwise by now.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.reservation.shrink(bytes);
    }

    /// Checks that the process is within the limit, and frees memory if it is not.
    pub(crate) fn check(&self) -> Result<(), MemoryError> {
        let ledger = &self.ledger;
        let Some(limit_bytes) = ledger.effective_limit_bytes(self.own_limit_bytes) else {
            return Ok(());
        };
        let is_within = || ledger.counted().total() <= limit_bytes;
        if is_within() {
            return Ok(());
        }
        ledger.free_until(is_within);
        match ledger.counted().total() {
            counted_bytes if counted_bytes > limit_bytes => Err(MemoryError::LimitExceeded {
                limit_bytes,
                counted_bytes,
            }),
            _ => Ok(()),
        }
    }
}
