//! What one budget counts, and how bytes are taken from a chain of them.

use super::sync::{AtomicU64, Ordering, yield_now};

/// Low bits of [`Account::state`]: bytes in use. 2^48 - 1 is twice what a process can address on
/// x86-64 with four levels of page tables.
const USED: u64 = (1 << 48) - 1;

/// One undecided request in [`Account::state`]. The 16 bits above [`USED`] count as many threads at
/// once, more than systems run.
const UNDECIDED: u64 = USED + 1;

/// A limit, and how much of it is in use.
///
/// A request along a chain is counted in one account after the other. Until the last has agreed it
/// is undecided, and nobody is refused because of it: who finds no room while an account has an
/// undecided request waits for the verdict, which takes a few instructions. Waiting goes only up the
/// chain, so it ends. A refusal thus always stands on bytes that were really granted.
pub(super) struct Account {
    limit: AtomicU64,
    /// Bytes in use, undecided ones included, and above them the number of undecided requests: in
    /// one word, so that one read tells whether a refusal can be believed.
    state: AtomicU64,
    peak: AtomicU64,
}

// `state` orders everything: each change of it acquires and releases. The limit is the one other
// variable that matters, and whoever lowers it and then reads what is used must not see that rise
// above it later. So `set_limit` passes through `state` after the limit, and `hold` reads the limit
// after it has passed through `state`: one of the two comes first and is seen by the other.
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
        // Used is read first: a limit that is lowered afterwards makes it less, never too much.
        let used = self.used();
        self.room(used)
    }

    /// The largest request that would be granted if nothing were in use.
    pub(super) fn largest(&self) -> u64 {
        self.limit().min(USED)
    }

    /// How much must be given back before a request fits that is not above [`Self::largest`].
    pub(super) fn missing(&self, bytes: u64) -> u64 {
        self.used()
            .saturating_add(bytes)
            .saturating_sub(self.largest())
    }

    fn room(&self, used: u64) -> u64 {
        self.largest().saturating_sub(used)
    }

    /// Counts an undecided request, unless there is no room for it.
    fn hold(&self, bytes: u64) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let used = state & USED;
            if bytes <= self.room(used) {
                let held = state + UNDECIDED + bytes;
                match self.state.compare_exchange_weak(
                    state,
                    held,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                ) {
                    // The limit may have been lowered meanwhile.
                    Ok(_) if bytes <= self.room(used) => return true,
                    Ok(_) => {
                        self.cancel(bytes);
                        state = self.state.load(Ordering::Acquire);
                    }
                    Err(now) => state = now,
                }
            } else if state < UNDECIDED {
                return false;
            } else {
                yield_now();
                state = self.state.load(Ordering::Acquire);
            }
        }
    }

    /// Takes back an undecided request.
    fn cancel(&self, bytes: u64) {
        self.state.fetch_sub(UNDECIDED + bytes, Ordering::AcqRel);
    }

    /// Grants an undecided request.
    fn settle(&self) {
        let used = self.state.fetch_sub(UNDECIDED, Ordering::AcqRel) & USED;
        // Peaks are rare: most of the time a read is enough.
        if used > self.peak() {
            self.peak.fetch_max(used, Ordering::Relaxed);
        }
    }

    /// Gives granted bytes back.
    pub(super) fn give_back(&self, bytes: u64) {
        self.state.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Takes bytes from every account of a chain, from the child to the root, or from none.
///
/// # Errors
///
/// The position of the first account that has no room.
pub(super) fn take<'a>(
    chain: impl Iterator<Item = &'a Account> + Clone,
    bytes: u64,
) -> Result<(), usize> {
    for (position, account) in chain.clone().enumerate() {
        if !account.hold(bytes) {
            chain
                .take(position)
                .for_each(|account| account.cancel(bytes));
            return Err(position);
        }
    }
    chain.for_each(Account::settle);
    Ok(())
}
