//! Memory limits: a tree of budgets in which bytes are reserved before they are allocated.

mod account;
mod holders;
#[cfg(all(loom, test))]
mod loom_tests;
mod over;
mod reclaim;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use account::Account;
use holders::{Entry, Holders};
use reclaim::Reclaimers;

pub use holders::Holder;
pub use over::OverBudget;
pub use reclaim::ReclaimerHandle;

/// Synchronisation types: those of loom in its tests, otherwise those of `std`.
mod sync {
    #[cfg(all(loom, test))]
    pub(super) use loom::{
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicU64, AtomicUsize, Ordering},
        },
        thread::yield_now,
    };
    #[cfg(not(all(loom, test)))]
    pub(super) use std::{
        sync::{
            Mutex, MutexGuard,
            atomic::{AtomicU64, AtomicUsize, Ordering},
        },
        thread::yield_now,
    };

    /// Locks a mutex and ignores poisoning. No user code runs under these locks, and the guarded data
    /// is consistent wherever an allocation may fail.
    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A limit on the bytes that may be in use at the same time. Bytes are reserved before they are
/// allocated.
///
/// A budget only counts reservations; it neither allocates memory nor observes allocations. Its
/// limit is effective only if every large allocation is covered by a [`Reservation`]. A budget whose
/// limit is `None` counts its reservations and refuses none.
///
/// A budget may have [children](Self::child) with their own limits. A reservation in a child counts
/// in all budgets up to the root. Clones are handles of the same budget.
///
/// ```
/// use tensor_pool::Budget;
///
/// let process = Budget::new("process", Some(100 << 20));
/// let weights = process.reserve(60 << 20, "weights")?;
/// let request = process.child("request", Some(50 << 20));
///
/// // The child's limit allows it, but only 40 MiB of its parent are available.
/// let refused = request.reserve(45 << 20, "cache").unwrap_err();
/// assert_eq!(refused.budget, "process");
/// assert_eq!(refused.available_bytes, 40 << 20);
/// assert_eq!(refused.shortfall_bytes, 5 << 20);
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
/// Each budget has one atomic counter. The reserved bytes never exceed a limit. A reservation is
/// refused only because of bytes that are actually reserved, never because of a concurrent request
/// that fails itself. [`Reservation::grow`] and [`Reservation::shrink`] take no lock, except that a
/// refused `grow` does. [`Self::reserve`] and dropping a reservation briefly lock the tree's list
/// of reservations.
#[derive(Clone)]
pub struct Budget(Arc<Node>);

/// The limit of an account without a limit. No sum of reserved bytes reaches it.
const NO_LIMIT: u64 = u64::MAX;

struct Node {
    name: Cow<'static, str>,
    account: Account,
    parent: Option<Arc<Node>>,
    reclaimers: Reclaimers,
    /// Shared by the whole tree.
    holders: Arc<Holders>,
}

impl Node {
    /// Iterates over this budget and its ancestors, up to the root.
    fn chain(&self) -> impl Iterator<Item = &Self> + Clone {
        std::iter::successors(Some(self), |node| node.parent.as_deref())
    }

    fn accounts(&self) -> impl Iterator<Item = &Account> + Clone {
        self.chain().map(|node| &node.account)
    }

    /// Reserves bytes in the whole chain, or in none of its budgets. If they do not fit, runs the
    /// reclaimers and tries again.
    fn reserve(&self, bytes: u64, what: &str) -> Result<(), OverBudget> {
        let Err(mut short) = account::reserve(self.accounts(), bytes) else {
            return Ok(());
        };
        // A request above a limit cannot fit, so nothing is reclaimed for it.
        let mut can_fit = self.accounts().all(|account| bytes <= account.largest());
        while can_fit {
            can_fit = self.reclaim(bytes);
            match account::reserve(self.accounts(), bytes) {
                Ok(()) => return Ok(()),
                // If enough bytes were available, another thread has reserved them since.
                Err(position) => short = position,
            }
        }
        let short = self.chain().nth(short).unwrap_or(self);
        Err(OverBudget {
            budget: short.name.to_string(),
            limit_bytes: short.account.largest(),
            requested_bytes: bytes,
            what: what.to_owned(),
            available_bytes: short.account.available(),
            shortfall_bytes: short.account.missing(bytes),
            holders: short.holders.of(short),
        })
    }

    /// Runs the reclaimers of each budget of the chain that has too few bytes available, from this
    /// budget to the root. Stops at a budget that still has too few afterwards, because the
    /// reservation is refused there whatever its ancestors release. Returns whether every budget
    /// had enough bytes available.
    fn reclaim(&self, bytes: u64) -> bool {
        reclaim::unless_reclaiming(|| {
            self.chain()
                .all(|node| node.reclaimers.run(|| node.account.missing(bytes)))
        })
    }

    fn release(&self, bytes: u64) {
        for account in self.accounts() {
            account.release(bytes);
        }
    }
}

impl Budget {
    /// Creates a root budget. With `None` the budget counts its reservations without a limit.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, limit_bytes: Option<u64>) -> Self {
        Self::with(name.into(), limit_bytes, None, Arc::new(Holders::new()))
    }

    /// Creates a child of this budget. The child's limit may exceed the parent's or be `None`; the
    /// parent's limit still applies.
    #[must_use]
    pub fn child(&self, name: impl Into<Cow<'static, str>>, limit_bytes: Option<u64>) -> Self {
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
        limit_bytes: Option<u64>,
        parent: Option<Arc<Node>>,
        holders: Arc<Holders>,
    ) -> Self {
        Self(Arc::new(Node {
            name,
            account: Account::new(limit_bytes.unwrap_or(NO_LIMIT)),
            parent,
            reclaimers: Reclaimers::new(),
            holders,
        }))
    }

    /// Reserves bytes in this budget and all its ancestors, or in none of them. `what` names the
    /// reservation in messages and in [`Self::holders`].
    ///
    /// If the bytes do not fit, the [reclaimers](Self::add_reclaimer) run and the reservation is
    /// tried again. If another thread reserves the released bytes first, the reclaimers run again.
    ///
    /// # Errors
    ///
    /// Fails if the bytes do not fit after the reclaimers have run. The time to create the error
    /// and its size grow with the number of reservations.
    pub fn reserve(
        &self,
        bytes: u64,
        what: impl Into<Cow<'static, str>>,
    ) -> Result<Reservation, OverBudget> {
        let what = what.into();
        self.0.reserve(bytes, &what)?;
        let node = Arc::clone(&self.0);
        let entry = self.0.holders.add(what, node, bytes);
        Ok(Reservation(entry))
    }

    /// Adds a callback that can free memory, such as that of a cache or of a pool with idle blocks.
    ///
    /// If a reservation does not fit, each budget up to the root with too few available bytes runs
    /// its reclaimers until the bytes fit. The lowest `priority` runs first; equal priorities run
    /// in the order in which they were added. The argument is the number of bytes that are still
    /// missing.
    ///
    /// A reclaimer frees bytes by dropping or shrinking reservations, on any thread. It runs on the
    /// reserving thread, without a lock of the budget: it may reserve and release bytes, and add
    /// and remove reclaimers, including itself. Several threads may run the same reclaimer at the
    /// same time. A reservation can be refused while another thread's reclaimer is still releasing
    /// bytes.
    ///
    /// Reclaimers do not run
    /// - for a request that exceeds a limit and would not fit into an empty budget,
    /// - if a descendant of their budget refuses the reservation because of its own limit,
    /// - for reservations that a reclaimer makes.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use tensor_pool::Budget;
    ///
    /// let budget = Budget::new("process", Some(64 << 20));
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
    /// The method itself does not panic. A panic of a reclaimer propagates through
    /// [`Self::reserve`] and leaves the budget unchanged.
    pub fn add_reclaimer(
        &self,
        priority: i32,
        reclaim: impl Fn(u64) + Send + Sync + 'static,
    ) -> ReclaimerHandle {
        self.0.reclaimers.add(priority, Box::new(reclaim))
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the limit, or `None` if there is none.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<u64> {
        Some(self.0.account.limit()).filter(|&limit| limit != NO_LIMIT)
    }

    /// Changes or removes the limit. A limit below the bytes in use revokes no reservation, but refuses new
    /// ones until enough bytes are released. [`Self::is_over`] reports this state.
    pub fn set_limit(&self, limit_bytes: Option<u64>) {
        self.0.account.set_limit(limit_bytes.unwrap_or(NO_LIMIT));
    }

    /// Returns the bytes reserved in this budget and its descendants. A pending request is included
    /// while it is being decided.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.account.used()
    }

    /// Returns the largest reservation that would fit now without reclaimers: the minimum of the
    /// available bytes over the budgets up to the root. Returns `None` if none of them has a limit.
    /// Changes nothing, and runs no reclaimer.
    #[must_use]
    pub fn available_bytes(&self) -> Option<u64> {
        let limited = |account: &&Account| account.limit() != NO_LIMIT;
        let accounts = self.0.accounts().filter(limited);
        accounts.map(Account::available).min()
    }

    /// Returns the peak of the bytes in use. It is exact with one thread; with several threads it
    /// may include requests that were refused at that time. It never exceeds the limits in force.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.0.account.peak()
    }

    /// Whether the bytes in use exceed the limit. This happens only after the limit was lowered.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.used_bytes() > self.0.account.limit()
    }

    /// Returns the reservations in this budget and its descendants, summed by name, the largest sum
    /// first.
    ///
    /// The time is proportional to the number of reservations in the whole tree.
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

/// Reserved bytes of a [`Budget`]. The bytes can grow and shrink on any thread. Dropping the reservation releases them.
#[must_use = "dropping the reservation releases its bytes"]
pub struct Reservation(Arc<Entry>);

impl Reservation {
    /// Reserves additional bytes in the same budgets.
    ///
    /// # Errors
    ///
    /// Fails as [`Budget::reserve`] does. The reserved bytes are unchanged in that case.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OverBudget> {
        self.0.node.reserve(bytes, &self.0.what)?;
        // Cannot overflow: the budget contains the sum, and is below 2^48.
        self.0.set_bytes(self.0.bytes() + bytes);
        Ok(())
    }

    /// Releases `bytes`, or all reserved bytes if `bytes` is larger.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.0.bytes());
        self.0.set_bytes(self.0.bytes() - bytes);
        self.0.node.release(bytes);
    }

    /// Grows or shrinks the reservation to `bytes`.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::grow`] does.
    pub fn resize(&mut self, bytes: u64) -> Result<(), OverBudget> {
        match bytes.checked_sub(self.bytes()) {
            Some(more) => self.grow(more),
            None => {
                self.shrink(self.bytes() - bytes);
                Ok(())
            }
        }
    }

    /// Returns the number of reserved bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Returns the name of the reservation.
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
        self.0.node.release(self.0.bytes());
    }
}
