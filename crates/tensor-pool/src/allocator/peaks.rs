//! The peaks of the common balance: one for the allocator, and one for each open window.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The maximum of the common balance since the last restart.
struct Peak(AtomicI64);

impl Peak {
    const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    fn raise(&self, balance: i64) {
        if self.0.load(SeqCst) < balance {
            self.0.fetch_max(balance, SeqCst);
        }
    }

    fn get(&self) -> i64 {
        self.0.load(SeqCst)
    }

    /// Restarts at the current balance and returns the peak until now. The peak is set to 0 before
    /// it is raised, so a concurrent raise by another thread is not lost.
    fn restart(&self, common: &AtomicI64) -> i64 {
        let peak = self.0.swap(0, SeqCst);
        self.raise(common.load(SeqCst));
        peak
    }
}

/// All peaks of an allocator.
///
/// An update compares the balance with two peaks, whatever the number of open windows: the peak of
/// the allocator, and the peak since the newest window was opened. Opening a window stores the
/// latter in the windows that are already open and restarts it. The peak of a window is therefore
/// the maximum of its stored peak and the peak since the newest window.
pub(super) struct Peaks {
    overall: Peak,
    /// The peak since the newest window was opened.
    recent: Peak,
    /// Locked to open, read and close a window, never to allocate or free.
    windows: Mutex<Windows>,
}

/// The open windows, oldest first. Their stored peaks never increase in this order, because an
/// older window includes the time of a newer one.
struct Windows {
    open: Vec<Window>,
    /// The number of windows opened so far.
    opened: u64,
}

struct Window {
    id: WindowId,
    /// The maximum balance until the newest window was opened.
    stored: i64,
}

/// Identifies an open window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WindowId(u64);

impl Peaks {
    pub(super) const fn new() -> Self {
        Self {
            overall: Peak::new(),
            recent: Peak::new(),
            windows: Mutex::new(Windows {
                open: Vec::new(),
                opened: 0,
            }),
        }
    }

    /// Updates all peaks. O(1), without a lock.
    pub(super) fn raise(&self, balance: i64) {
        self.overall.raise(balance);
        self.recent.raise(balance);
    }

    pub(super) fn overall(&self) -> u64 {
        bytes(self.overall.get())
    }

    pub(super) fn restart_overall(&self, common: &AtomicI64) {
        self.overall.restart(common);
    }

    /// Opens a window. O(open windows) at worst.
    pub(super) fn open(&self, common: &AtomicI64) -> WindowId {
        let mut windows = self.lock();
        let recent = self.recent.restart(common);
        for window in windows.open.iter_mut().rev() {
            if window.stored >= recent {
                break;
            }
            window.stored = recent;
        }
        let id = WindowId(windows.opened);
        windows.opened += 1;
        // May allocate, which needs no lock.
        windows.open.push(Window {
            id,
            stored: i64::MIN,
        });
        id
    }

    /// Returns the maximum balance since a window was opened. O(log(open windows)).
    pub(super) fn of(&self, id: WindowId) -> u64 {
        let windows = self.lock();
        let stored = match windows.position(id) {
            Some(index) => windows.open[index].stored,
            None => i64::MIN,
        };
        bytes(stored.max(self.recent.get()))
    }

    /// Closes a window. O(newer open windows).
    pub(super) fn close(&self, id: WindowId) {
        let mut windows = self.lock();
        if let Some(index) = windows.position(id) {
            windows.open.remove(index);
        }
    }

    /// Ignores poisoning: no panic can leave the windows inconsistent.
    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Windows {
    fn position(&self, id: WindowId) -> Option<usize> {
        self.open.binary_search_by_key(&id, |window| window.id).ok()
    }
}

/// The balance is negative while a thread has published the free of a block before the thread that
/// allocated it.
fn bytes(balance: i64) -> u64 {
    balance.max(0) as u64
}
