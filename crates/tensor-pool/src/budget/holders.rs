//! Who holds bytes of a tree of budgets.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::Node;
use super::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};
use bytesize::ByteSize;

/// What all reservations of one name hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The name that was given to [`reserve`](super::Budget::reserve).
    pub what: Cow<'static, str>,
    /// What they hold.
    pub bytes: u64,
    /// How many reservations have this name.
    pub reservations: usize,
}

/// `name 12 MiB`, and `in 3` if it is several.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, ByteSize::b(self.bytes))?;
        if self.reservations > 1 {
            write!(f, " in {}", self.reservations)?;
        }
        Ok(())
    }
}

/// One reservation, as others may see it.
pub(super) struct Entry {
    pub(super) what: Cow<'static, str>,
    pub(super) node: Arc<Node>,
    bytes: AtomicU64,
    /// Its place in the list; changed only under the list's lock.
    place: AtomicUsize,
}

impl Entry {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Only its owner sets it.
    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

/// The reservations of a tree, in no order.
///
/// The one place with a lock: it is held while one entry is pushed or swapped out, and while
/// [`Self::of`] walks the list. Growing and shrinking do not come here.
pub(super) struct Holders(Mutex<Vec<Arc<Entry>>>);

impl Holders {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    pub(super) fn add(&self, what: Cow<'static, str>, node: Arc<Node>, bytes: u64) -> Arc<Entry> {
        let mut entry = Entry {
            what,
            node,
            bytes: AtomicU64::new(bytes),
            place: AtomicUsize::new(0),
        };
        let mut entries = lock(&self.0);
        entry.place = AtomicUsize::new(entries.len());
        let entry = Arc::new(entry);
        entries.push(Arc::clone(&entry));
        entry
    }

    pub(super) fn remove(&self, entry: &Entry) {
        let mut entries = lock(&self.0);
        let place = entry.place.load(Ordering::Relaxed);
        let removed = entries.swap_remove(place);
        if let Some(moved) = entries.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        drop(entries);
        drop(removed);
    }

    /// The holders of a budget and of all below it, the largest first.
    pub(super) fn of(&self, node: &Node) -> Vec<Holder> {
        let mut names: HashMap<Cow<'static, str>, (u64, usize)> = HashMap::new();
        for entry in lock(&self.0).iter() {
            if entry.node.chain().any(|above| std::ptr::eq(above, node)) {
                let (bytes, reservations) = names.entry(entry.what.clone()).or_default();
                *bytes = bytes.saturating_add(entry.bytes());
                *reservations += 1;
            }
        }
        let mut holders: Vec<Holder> = names
            .into_iter()
            .map(|(what, (bytes, reservations))| Holder {
                what,
                bytes,
                reservations,
            })
            .collect();
        holders.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.what.cmp(&b.what)));
        holders
    }
}
