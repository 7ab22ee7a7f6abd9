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

// All orderings are sequentially consistent. Between `set_limit` and `used` on one side and `hold`
// on the other the order of two variables matters; the rest is not worth an argument of its own.
impl Account {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit: AtomicU64::new(limit),
            state: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::SeqCst)
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::SeqCst);
    }

    pub(super) fn used(&self) -> u64 {
        self.state.load(Ordering::SeqCst) & USED
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::SeqCst)
    }

    pub(super) fn available(&self) -> u64 {
        // Used is read first: a limit that is lowered afterwards makes it less, never too much.
        let used = self.used();
        self.room(used)
    }

    /// How much must be given back before a request fits.
    pub(super) fn missing(&self, bytes: u64) -> u64 {
        // Both are below 2^63: a request is at most the limit of an account, and none counts so far.
        (self.used() + bytes).saturating_sub(self.limit().min(USED))
    }

    fn room(&self, used: u64) -> u64 {
        self.limit().min(USED).saturating_sub(used)
    }

    /// Counts an undecided request, unless there is no room for it.
    fn hold(&self, bytes: u64) -> bool {
        let mut state = self.state.load(Ordering::SeqCst);
        loop {
            let used = state & USED;
            if bytes <= self.room(used) {
                let held = state + UNDECIDED + bytes;
                match self.state.compare_exchange_weak(
                    state,
                    held,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                ) {
                    // Whoever lowers the limit and then reads what is used must not see it rise
                    // above the new limit later.
                    Ok(_) if bytes <= self.room(used) => return true,
                    Ok(_) => {
                        self.cancel(bytes);
                        state = self.state.load(Ordering::SeqCst);
                    }
                    Err(now) => state = now,
                }
            } else if state < UNDECIDED {
                return false;
            } else {
                yield_now();
                state = self.state.load(Ordering::SeqCst);
            }
        }
    }

    /// Takes back an undecided request.
    fn cancel(&self, bytes: u64) {
        self.state.fetch_sub(UNDECIDED + bytes, Ordering::SeqCst);
    }

    /// Grants an undecided request.
    fn settle(&self) {
        let used = self.state.fetch_sub(UNDECIDED, Ordering::SeqCst) & USED;
        // Peaks are rare: most of the time a read is enough.
        if used > self.peak() {
            self.peak.fetch_max(used, Ordering::SeqCst);
        }
    }

    /// Gives granted bytes back.
    pub(super) fn give_back(&self, bytes: u64) {
        self.state.fetch_sub(bytes, Ordering::SeqCst);
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
