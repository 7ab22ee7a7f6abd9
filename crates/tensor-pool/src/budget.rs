//! Limits on memory, and who holds it: a tree of budgets from which bytes are reserved before they
//! are allocated.

mod account;
mod holders;
#[cfg(all(loom, test))]
mod loom_tests;
mod over;
mod reclaim;
mod sync;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use account::Account;
use holders::{Entry, Holders};
use reclaim::Reclaimers;

pub use holders::Holder;
pub use over::OverBudget;
pub use reclaim::ReclaimerHandle;

/// A number of bytes that may be held at once, by those who reserve them first.
///
/// It counts; it does not allocate and does not see allocations. A promise is kept where every
/// holder of much memory has a [`Reservation`] for it.
///
/// A budget may have [children](Self::child), each with a limit of its own: what is reserved from a
/// child counts in all budgets up to the root. Clones are handles of the same budget.
///
/// ```
/// use tensor_pool::Budget;
///
/// let process = Budget::new("process", 100 << 20);
/// let weights = process.reserve(60 << 20, "weights")?;
/// let request = process.child("request", 50 << 20);
///
/// // The child would allow it, its parent has only 40 MiB left.
/// let refused = request.reserve(45 << 20, "cache").unwrap_err();
/// assert_eq!(refused.budget, "process");
/// assert_eq!(refused.available_bytes, 40 << 20);
/// assert_eq!(refused.holders[0].what, "weights");
/// assert_eq!(request.used_bytes(), 0);
///
/// let mut cache = request.reserve(10 << 20, "cache")?;
/// cache.grow(5 << 20)?;
/// assert_eq!(process.used_bytes(), 75 << 20);
/// drop(cache);
/// assert_eq!(process.used_bytes(), weights.bytes());
/// # Ok::<(), tensor_pool::OverBudget>(())
/// ```
///
/// # Concurrency
///
/// Counting is a chain of atomic words, one per budget up to the root. What is granted never exceeds
/// a limit, and a refusal always stands on bytes that others were granted, never on a request that
/// was itself refused a moment later. [`Reservation::grow`] and [`Reservation::shrink`] take no lock
/// (a refused `grow` does); [`Self::reserve`] and the drop of a reservation take one of the whole
/// tree for the list of holders, for a few instructions.
#[derive(Clone)]
pub struct Budget(Arc<Node>);

struct Node {
    name: Cow<'static, str>,
    account: Account,
    parent: Option<Arc<Node>>,
    reclaimers: Reclaimers,
    /// Of the whole tree.
    holders: Arc<Holders>,
}

impl Node {
    /// This budget, its parent and so on to the root.
    fn chain(&self) -> impl Iterator<Item = &Self> + Clone {
        std::iter::successors(Some(self), |node| node.parent.as_deref())
    }

    fn accounts(&self) -> impl Iterator<Item = &Account> + Clone {
        self.chain().map(|node| &node.account)
    }

    /// Counts bytes in the whole chain or nowhere; asks reclaimers once if they do not fit.
    fn take(&self, bytes: u64, what: &str) -> Result<(), OverBudget> {
        let Err(mut short) = account::take(self.accounts(), bytes) else {
            return Ok(());
        };
        // What exceeds a limit cannot be helped by throwing things away.
        let possible = self.accounts().all(|account| bytes <= account.largest());
        if possible && self.reclaim(bytes) {
            match account::take(self.accounts(), bytes) {
                Ok(()) => return Ok(()),
                Err(position) => short = position,
            }
        }
        let short = self.chain().nth(short).unwrap_or(self);
        Err(OverBudget {
            budget: short.name.to_string(),
            limit_bytes: short.account.limit(),
            requested_bytes: bytes,
            what: what.to_owned(),
            available_bytes: short.account.available(),
            holders: short.holders.of(short),
        })
    }

    /// Asks the reclaimers of every budget of the chain that has too little room; whether it did.
    fn reclaim(&self, bytes: u64) -> bool {
        reclaim::unless_reclaiming(|| {
            for node in self.chain() {
                node.reclaimers.ask(|| node.account.missing(bytes));
            }
        })
    }

    fn give_back(&self, bytes: u64) {
        for account in self.accounts() {
            account.give_back(bytes);
        }
    }
}

impl Budget {
    /// A budget of its own. [`u64::MAX`] is no limit: it only counts.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, limit_bytes: u64) -> Self {
        Self::with(name.into(), limit_bytes, None, Arc::new(Holders::new()))
    }

    /// A budget within this one. Its limit may be above its parent's: then the parent's decides.
    #[must_use]
    pub fn child(&self, name: impl Into<Cow<'static, str>>, limit_bytes: u64) -> Self {
        let parent = Some(Arc::clone(&self.0));
        Self::with(
            name.into(),
            limit_bytes,
            parent,
            Arc::clone(&self.0.holders),
        )
    }

    fn with(
        name: Cow<'static, str>,
        limit_bytes: u64,
        parent: Option<Arc<Node>>,
        holders: Arc<Holders>,
    ) -> Self {
        Self(Arc::new(Node {
            name,
            account: Account::new(limit_bytes),
            parent,
            reclaimers: Reclaimers::new(),
            holders,
        }))
    }

    /// Reserves bytes here and in every budget up to the root, or nowhere. `what` names the holder in
    /// messages and in [`Self::holders`].
    ///
    /// If they do not fit, the [reclaimers](Self::add_reclaimer) are asked and it is tried once more.
    ///
    /// # Errors
    ///
    /// They still do not fit. Time and size of the error grow with the number of reservations.
    pub fn reserve(
        &self,
        bytes: u64,
        what: impl Into<Cow<'static, str>>,
    ) -> Result<Reservation, OverBudget> {
        let what = what.into();
        self.0.take(bytes, &what)?;
        let node = Arc::clone(&self.0);
        let entry = self.0.holders.add(what, node, bytes);
        Ok(Reservation(entry))
    }

    /// Adds something that can free memory: a cache, a pool with idle blocks.
    ///
    /// When a reservation does not fit, each budget up to the root that has too little room asks its
    /// reclaimers, the lowest `priority` first and equal ones in the order in which they were added,
    /// until nothing is missing there. The argument is what is still missing. What a reclaimer frees
    /// shows in the budget: it drops or shrinks reservations, on any thread. It is asked on the thread
    /// that reserves, with no lock of the budget held, and may reserve; reclaimers are not asked for
    /// what a reclaimer itself reserves. Nor are they for what exceeds a limit on its own, and would
    /// not fit into an empty budget.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use tensor_pool::Budget;
    ///
    /// let budget = Budget::new("process", 64 << 20);
    /// let cache = Arc::new(Mutex::new(Vec::new()));
    /// let emptied = Arc::clone(&cache);
    /// let _handle = budget.add_reclaimer(0, move |_missing| emptied.lock().unwrap().clear());
    ///
    /// cache.lock().unwrap().push(budget.reserve(40 << 20, "cached")?);
    /// let needed = budget.reserve(50 << 20, "needed")?;
    /// assert_eq!(budget.used_bytes(), needed.bytes());
    /// # Ok::<(), tensor_pool::OverBudget>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Never itself; a reclaimer's panic passes through [`Self::reserve`] and leaves the budget as it
    /// was.
    pub fn add_reclaimer(
        &self,
        priority: i32,
        reclaim: impl Fn(u64) + Send + Sync + 'static,
    ) -> ReclaimerHandle {
        self.0.reclaimers.add(priority, Box::new(reclaim))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What may be in use at once.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.0.account.limit()
    }

    /// Changes the limit. It may be set below what is in use: nothing is taken away, but nothing is
    /// granted either until enough was given back, and [`Self::is_over`] tells.
    pub fn set_limit(&self, limit_bytes: u64) {
        self.0.account.set_limit(limit_bytes);
    }

    /// What is reserved here and below. A request that is being decided is counted for that moment.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.account.used()
    }

    /// The most that could be reserved now: the least that any budget up to the root has left. At
    /// most 2^48 - 1 bytes (256 TiB), also without a limit: a budget counts no further.
    #[must_use]
    pub fn available_bytes(&self) -> u64 {
        let least = self.0.accounts().map(Account::available).min();
        least.unwrap_or(0)
    }

    /// The most that was in use at once: exact with one thread; with several it may include requests
    /// that were refused at that moment. It never exceeds the limits that were set.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.0.account.peak()
    }

    /// Whether more is in use than the limit allows, which happens only after it was lowered.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.used_bytes() > self.limit_bytes()
    }

    /// Who holds bytes of this budget or of those below it, summed by name, the largest first.
    ///
    /// Takes time in proportion to the reservations of the whole tree.
    #[must_use]
    pub fn holders(&self) -> Vec<Holder> {
        self.0.holders.of(&self.0)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = self.0.parent.as_ref().map(|parent| &parent.name);
        f.debug_struct("Budget")
            .field("name", &self.0.name)
            .field("parent", &parent)
            .field("limit_bytes", &self.limit_bytes())
            .field("used_bytes", &self.used_bytes())
            .finish_non_exhaustive()
    }
}

/// Bytes of a [`Budget`], held until this is dropped.
#[must_use = "the bytes are given back when this is dropped"]
pub struct Reservation(Arc<Entry>);

impl Reservation {
    /// Reserves more, along the same chain.
    ///
    /// # Errors
    ///
    /// They do not fit, as in [`Budget::reserve`]; what is held stays as it was.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OverBudget> {
        self.0.node.take(bytes, &self.0.what)?;
        // The sum is counted in the budget, which counts no further than 2^48.
        self.0.set_bytes(self.0.bytes() + bytes);
        Ok(())
    }

    /// Gives some of the bytes back, all if it is more than are held.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.0.bytes());
        self.0.set_bytes(self.0.bytes() - bytes);
        self.0.node.give_back(bytes);
    }

    /// How much is held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// What it is held for.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0.what
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("what", &self.0.what)
            .field("bytes", &self.bytes())
            .field("budget", &self.0.node.name)
            .finish_non_exhaustive()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.node.holders.remove(&self.0);
        self.0.node.give_back(self.0.bytes());
    }
}
