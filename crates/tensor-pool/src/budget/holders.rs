//! The list of reservations of a tree of budgets.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::Node;
use super::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};
use bytesize::ByteSize;

/// The sum of all reservations with the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The name that was passed to [`reserve`](super::Budget::reserve).
    pub what: Cow<'static, str>,
    /// The reserved bytes.
    pub bytes: u64,
    /// The number of reservations with this name.
    pub reservations: usize,
}

/// Formats as `name 12 MiB`, with ` in 3` appended for three reservations.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, ByteSize::b(self.bytes))?;
        if self.reservations > 1 {
            write!(f, " in {}", self.reservations)?;
        }
        Ok(())
    }
}

/// The shared data of a reservation.
pub(super) struct Entry {
    pub(super) what: Cow<'static, str>,
    pub(super) node: Arc<Node>,
    bytes: AtomicU64,
    /// The index in the list; changed only under the lock of the list.
    index: AtomicUsize,
}

impl Entry {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Must be called only by the owner of the reservation.
    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

/// The reservations of a tree, unordered.
///
/// The list is guarded by a lock, which is held while an entry is pushed or removed and while
/// [`Self::of`] walks the list. Growing and shrinking a reservation does not use the list.
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
            index: AtomicUsize::new(0),
        };
        let mut entries = lock(&self.0);
        entry.index = AtomicUsize::new(entries.len());
        let entry = Arc::new(entry);
        entries.push(Arc::clone(&entry));
        entry
    }

    pub(super) fn remove(&self, entry: &Entry) {
        let mut entries = lock(&self.0);
        let index = entry.index.load(Ordering::Relaxed);
        let removed = entries.swap_remove(index);
        if let Some(moved) = entries.get(index) {
            moved.index.store(index, Ordering::Relaxed);
        }
        drop(entries);
        drop(removed);
    }

    /// Returns the reservations in a budget and its descendants, summed by name, the largest first.
    pub(super) fn of(&self, node: &Node) -> Vec<Holder> {
        let mut names: HashMap<Cow<'static, str>, (u64, usize)> = HashMap::new();
        for entry in lock(&self.0).iter() {
            if entry
                .node
                .chain()
                .any(|ancestor| std::ptr::eq(ancestor, node))
            {
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
