//! The counters of a budget, and the reservation of bytes in a chain of them.

use super::sync::{AtomicU64, Ordering, yield_now};

/// The low bits of [`Account::state`]: bytes in use. 2^48 - 1 is twice the address space of a
/// process on x86-64 with four levels of page tables.
const USED: u64 = (1 << 48) - 1;

/// One pending request in [`Account::state`]. The 16 bits above [`USED`] allow 65,535 concurrent
/// requests, which is more than the threads of a real system.
const PENDING: u64 = USED + 1;

/// A limit and the bytes in use.
///
/// A request is counted in one account of the chain after the other, and is pending until the last
/// account has accepted it. A pending request never causes a refusal: a thread that finds too few
/// available bytes while an account has a pending request waits for the decision, which takes a few
/// instructions. Threads wait only for accounts further up the chain, so waiting ends. A refusal
/// therefore depends only on bytes that were granted.
pub(super) struct Account {
    limit: AtomicU64,
    /// Bytes in use, including pending ones, and above them the number of pending requests. Both
    /// are in one word, so one read determines whether a refusal is final.
    state: AtomicU64,
    peak: AtomicU64,
}

// `state` orders all accesses: each change acquires and releases. The limit is the only other
// variable that needs ordering: a thread that lowers the limit and then reads the used bytes must
// not see them rise above it later. So `set_limit` updates `state` after the limit, and `try_hold`
// reads the limit after it has updated `state`. One update precedes the other, and its effect is
// visible to the later one.
impl Account {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            state: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
        self.state.fetch_add(0, Ordering::AcqRel);
    }

    pub(super) fn used(&self) -> u64 {
        self.state.load(Ordering::Acquire) & USED
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    pub(super) fn available(&self) -> u64 {
        // The used bytes are read first: if the limit is lowered in between, the result is too
        // small, never too large.
        let used = self.used();
        self.remaining(used)
    }

    /// Returns the largest request that an empty account would grant.
    pub(super) fn largest(&self) -> u64 {
        self.limit().min(USED)
    }

    /// Returns the bytes that must be released before a request fits. If the request exceeds
    /// [`Self::largest`], the limit must be raised by as much.
    pub(super) fn missing(&self, bytes: u64) -> u64 {
        self.used()
            .saturating_add(bytes)
            .saturating_sub(self.largest())
    }

    fn remaining(&self, used: u64) -> u64 {
        self.largest().saturating_sub(used)
    }

    /// Adds a pending request. Returns `false` if it does not fit.
    fn try_hold(&self, bytes: u64) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let used = state & USED;
            if bytes <= self.remaining(used) {
                let held = state + PENDING + bytes;
                match self.state.compare_exchange_weak(
                    state,
                    held,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                ) {
                    // Checked again, because the limit may have been lowered.
                    Ok(_) if bytes <= self.remaining(used) => return true,
                    Ok(_) => {
                        self.cancel(bytes);
                        state = self.state.load(Ordering::Acquire);
                    }
                    Err(now) => state = now,
                }
            } else if state < PENDING {
                return false;
            } else {
                yield_now();
                state = self.state.load(Ordering::Acquire);
            }
        }
    }

    /// Removes a pending request.
    fn cancel(&self, bytes: u64) {
        self.state.fetch_sub(PENDING + bytes, Ordering::AcqRel);
    }

    /// Grants a pending request.
    fn settle(&self) {
        let used = self.state.fetch_sub(PENDING, Ordering::AcqRel) & USED;
        // A new peak is rare, so a read is usually sufficient.
        if used > self.peak() {
            self.peak.fetch_max(used, Ordering::Relaxed);
        }
    }

    /// Releases granted bytes.
    pub(super) fn release(&self, bytes: u64) {
        self.state.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Reserves bytes in every account of a chain, from the child to the root, or in none of them.
///
/// # Errors
///
/// Returns the position of the first account with too few available bytes.
pub(super) fn reserve<'a>(
    chain: impl Iterator<Item = &'a Account> + Clone,
    bytes: u64,
) -> Result<(), usize> {
    for (position, account) in chain.clone().enumerate() {
        if !account.try_hold(bytes) {
            chain
                .take(position)
                .for_each(|account| account.cancel(bytes));
            return Err(position);
        }
    }
    chain.for_each(Account::settle);
    Ok(())
}
