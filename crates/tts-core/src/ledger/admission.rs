//! Admission of work: its reservation, and the limit that it was admitted under.

use std::borrow::Cow;
use std::sync::PoisonError;

use batch_planner::MemoryModel;
use tensor_pool::{Budget, Reservation};

use super::{Ledger, Limit, MemoryError};
use crate::threads::STREAM_THREADS;

/// The limits of one reservation, beside the process's.
#[derive(Clone, Copy)]
struct Limits {
    own_bytes: Option<u64>,
    system_bytes: Option<u64>,
}

/// Growth of what is not counted while a command runs: retained blocks and arenas. The operating system's
/// limits apply to it. Measured at up to 2.7 MiB between the plan of a command and its speech.
const UNCOUNTED_GROWTH_BYTES: u64 = 3584 << 10;

/// Work that was admitted. Its bytes stay reserved until this is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    ledger: Ledger,
    /// The request's part of the process's budget.
    budget: Budget,
    own_limit_bytes: Option<u64>,
    /// The limit that the system left when the work was admitted.
    system_limit: Option<Limit>,
    reservation: Reservation,
}

impl Ledger {
    /// Reserves bytes for work that starts now. `what` names the work in messages. The work may start
    /// `threads` threads: their stacks are not counted, but the operating system's limits apply to them.
    ///
    /// If the bytes do not fit, memory that can be freed is freed first.
    pub(crate) fn admit(
        &self,
        own_limit_bytes: Option<u64>,
        what: &'static str,
        bytes: u64,
        threads: usize,
    ) -> Result<Admission, MemoryError> {
        let budget = self.0.budget.child(what, None);
        let mut system_limit = self.system_limit(threads);
        let reserve = |system_limit: Option<&Limit>| {
            let limits = Limits {
                own_bytes: own_limit_bytes,
                system_bytes: system_limit.map(|limit| limit.limit_bytes),
            };
            self.reserve(&budget, limits, what, bytes)
        };
        let mut reservation = reserve(system_limit.as_ref());
        if reservation.is_none() {
            self.free_until(|| {
                let limit = self.lowest_limit(own_limit_bytes, self.system_limit(threads).as_ref());
                let needed_bytes = self.present_bytes().saturating_add(bytes);
                limit.is_none_or(|limit| needed_bytes <= limit.limit_bytes)
            });
            system_limit = self.system_limit(threads);
            reservation = reserve(system_limit.as_ref());
        }
        let Some(reservation) = reservation else {
            let present_bytes = self.present_bytes();
            let limit = self.lowest_limit(own_limit_bytes, system_limit.as_ref());
            return Err(MemoryError::LimitTooLow {
                what,
                limit: limit.unwrap_or(Limit::set(u64::MAX)),
                needed_bytes: present_bytes.saturating_add(bytes),
                present_bytes,
            });
        };
        Ok(Admission {
            ledger: self.clone(),
            budget,
            own_limit_bytes,
            system_limit,
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
        let admission = self.admit(own_limit_bytes, "the speech", bytes(1), STREAM_THREADS)?;
        let slot_bytes = bytes(2).saturating_sub(bytes(1));
        let slots = (1..max_batch_size).map_while(|_| admission.reserve_slot(slot_bytes));
        let slots = slots.collect();
        Ok((admission, slots))
    }

    /// Checks that the limit allows a peak of the process's counted bytes when so many further threads
    /// start. `what` names the work in messages. Reserves nothing.
    ///
    /// # Errors
    ///
    /// [`MemoryError::LimitTooLow`] if it does not.
    pub fn check_peak(
        &self,
        own_limit_bytes: Option<u64>,
        what: &'static str,
        peak_bytes: u64,
        threads: usize,
    ) -> Result<(), MemoryError> {
        let system_limit = self.system_limit(threads);
        let Some(limit) = self.lowest_limit(own_limit_bytes, system_limit.as_ref()) else {
            return Ok(());
        };
        let needed_bytes = match limit.system {
            Some(_) => peak_bytes.saturating_add(UNCOUNTED_GROWTH_BYTES),
            None => peak_bytes,
        };
        if needed_bytes <= limit.limit_bytes {
            return Ok(());
        }
        Err(MemoryError::LimitTooLow {
            what,
            limit,
            needed_bytes,
            present_bytes: self.present_bytes(),
        })
    }

    /// Reserves bytes if they fit. Limits on counted bytes become limits on reservations: the memory that
    /// is in use otherwise is subtracted from them.
    fn reserve(
        &self,
        budget: &Budget,
        limits: Limits,
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
        let process = [self.limit_bytes(), limits.system_bytes];
        root.set_limit(left(process.into_iter().flatten().min(), 0));
        // A request's own limit applies to the whole process too.
        let other_bytes = root.used_bytes().saturating_sub(budget.used_bytes());
        budget.set_limit(left(limits.own_bytes, other_bytes));
        budget.reserve(bytes, what).ok()
    }
}

impl Admission {
    /// Reserves the memory of a further sequence of the batch. `None` if it does not fit now.
    pub(crate) fn reserve_slot(&self, bytes: u64) -> Option<Reservation> {
        let ledger = &self.ledger;
        let limits = || Limits {
            own_bytes: self.own_limit_bytes,
            system_bytes: self.system_limit.as_ref().map(|limit| limit.limit_bytes),
        };
        let reserve = || ledger.reserve(&self.budget, limits(), "batch", bytes);
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

#[cfg(test)]
mod tests {
    use super::super::{LimitOrigin, SystemLimit};
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A ledger of a process that uses 10 MiB, under a limit of 100 MiB against which the system charges
    /// `used_bytes`, and 2 MiB per further thread.
    fn ledger(used_bytes: u64) -> Ledger {
        let ledger = Ledger::with_heap(Default::default(), || Some(10 * MIB));
        ledger.set_system_limit(move |threads| {
            Some(SystemLimit {
                origin: LimitOrigin::AddressSpace,
                limit_bytes: 100 * MIB,
                used_bytes,
                reserve_bytes: 2 * MIB * threads as u64,
            })
        });
        ledger
    }

    #[test]
    fn work_that_the_system_has_no_room_for_is_refused_with_the_origin() {
        let ledger = ledger(80 * MIB);
        assert!(ledger.admit(None, "work", 20 * MIB, 0).is_ok());
        let error = ledger.admit(None, "work", 25 * MIB, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "work needs up to 35.0 MiB of memory, including 10.0 MiB already in use, and the limit is 28.0 \
             MiB (RLIMIT_AS of 100.0 MiB): 7.0 MiB too little; raise it with `ulimit -v 110080`"
        );
        assert_eq!(error.sufficient_limit_mb(), None);
    }

    #[test]
    fn limit_that_is_exceeded_already_is_raised_by_the_excess_too() {
        let error = ledger(130 * MIB)
            .admit(None, "work", 6 * MIB, 0)
            .unwrap_err();
        let message = error.to_string();
        assert!(message.contains("the limit is 10.0 MiB"), "{message}");
        assert!(message.contains("36.0 MiB too little"), "{message}");
        // 130 MiB, 6 MiB, and half a MiB for growth until then.
        assert!(message.ends_with("`ulimit -v 139776`"), "{message}");
    }

    #[test]
    fn lower_limit_of_the_user_wins_and_is_suggested() {
        let ledger = ledger(80 * MIB);
        let error = ledger
            .admit(Some(15 * MIB), "work", 6 * MIB, 0)
            .unwrap_err();
        assert_eq!(error.sufficient_limit_mb(), Some(17));
        assert!(ledger.admit(Some(17 * MIB), "work", 6 * MIB, 0).is_ok());
        // A higher one does not make room.
        assert!(ledger.admit(Some(90 * MIB), "work", 21 * MIB, 0).is_err());
    }

    #[test]
    fn reservations_count_against_the_system_limit() {
        let ledger = ledger(80 * MIB);
        let first = ledger.admit(None, "work", 12 * MIB, 0).unwrap();
        assert!(ledger.admit(None, "work", 12 * MIB, 0).is_err());
        assert!(first.reserve_slot(8 * MIB).is_some());
        assert!(first.reserve_slot(9 * MIB).is_none());
        drop(first);
        assert!(ledger.admit(None, "work", 12 * MIB, 0).is_ok());
    }
}
