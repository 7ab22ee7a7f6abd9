//! Values that are registered with a monitor and can be removed again.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use crate::{lock, process::Owner};

/// Keeps a category or a callback registered. Dropping it removes the category or callback; a call that
/// is in progress on another thread completes.
///
/// ```
/// use mem_monitor::{Backing, Category, MemoryMonitor};
///
/// let monitor = MemoryMonitor::default();
/// let cache = Category::new("cache", Backing::Heap, || Some(1 << 20));
/// let registration = monitor.register_category(cache);
/// assert_eq!(monitor.breakdown().rows[0].name, "cache");
/// drop(registration);
/// assert_ne!(monitor.breakdown().rows[0].name, "cache");
/// ```
#[must_use = "dropping it removes the registered value; `detach` keeps the value registered"]
pub struct Registration {
    remove: Option<Box<dyn FnOnce() + Send + Sync>>,
    owner: Owner,
}

impl Registration {
    /// Keeps the value registered until the monitor is dropped.
    pub fn detach(mut self) {
        self.remove = None;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // In a forked child, a thread that does not exist there may hold the lock.
        if let Some(remove) = self.remove.take()
            && self.owner.is_current()
        {
            remove();
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}

/// Registered values in order of registration.
pub(crate) struct Registry<T>(Mutex<Vec<Arc<T>>>);

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + Sync + 'static> Registry<T> {
    pub(crate) fn add(self: &Arc<Self>, value: T) -> Registration {
        let value = Arc::new(value);
        let (registry, key) = (Arc::downgrade(self), Arc::downgrade(&value));
        lock(&self.0).push(value);
        Registration {
            remove: Some(Box::new(move || {
                if let Some((registry, value)) = registry.upgrade().zip(key.upgrade()) {
                    lock(&registry.0).retain(|other| !Arc::ptr_eq(other, &value));
                    // The value is dropped here, after the lock was released.
                }
            })),
            owner: Owner::current(),
        }
    }

    /// Returns the registered values. They are called without the lock, so a value may remove itself.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        lock(&self.0).clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}
