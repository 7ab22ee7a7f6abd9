//! The counters of the process and of the calling thread.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Measurements of a peak that can be open at the same time in the process.
const WINDOWS: usize = 64;

/// Live bytes of the process.
static LIVE: AtomicI64 = AtomicI64::new(0);

/// Bit `i` is set while window `i` has an owner.
static CLAIMED: AtomicU64 = AtomicU64::new(0);

/// Bit `i` is set while window `i` records.
static RECORDING: AtomicU64 = AtomicU64::new(0);

/// The highest value of `LIVE` in each window.
static PEAKS: [AtomicI64; WINDOWS] = [const { AtomicI64::new(0) }; WINDOWS];

/// The counters of one thread.
#[derive(Clone, Copy)]
struct Counters {
    /// Signed, since a thread may free memory allocated by another thread.
    live: i64,
    peak: i64,
    /// Number of allocations, wrapping; shows whether the allocator is in use.
    allocations: u64,
}

thread_local! {
    // Constant and without a destructor, so access never allocates and works until the thread ends.
    static COUNTERS: Cell<Counters> = const {
        Cell::new(Counters { live: 0, peak: 0, allocations: 0 })
    };
}

/// Counts a block that was allocated or freed, or the difference of a resized one.
pub(super) fn count(change: i64) {
    let live = LIVE
        .fetch_add(change, Ordering::Relaxed)
        .wrapping_add(change);
    if change > 0 {
        // `Acquire`: a window that records has its start value.
        let mut recording = RECORDING.load(Ordering::Acquire);
        while recording != 0 {
            PEAKS[recording.trailing_zeros() as usize].fetch_max(live, Ordering::Relaxed);
            recording &= recording - 1;
        }
    }
    let update = |counters: &Cell<Counters>| {
        let mut now = counters.get();
        now.live = now.live.wrapping_add(change);
        now.peak = now.peak.max(now.live);
        now.allocations = now.allocations.wrapping_add(u64::from(change > 0));
        counters.set(now);
    };
    // Fails only while the thread is being destroyed.
    let _ = COUNTERS.try_with(update);
}

pub(super) fn thread_allocations() -> u64 {
    COUNTERS.get().allocations
}

pub(super) fn process_live_bytes() -> u64 {
    LIVE.load(Ordering::Relaxed) as u64
}

pub(super) fn thread_live_bytes() -> u64 {
    COUNTERS.get().live as u64
}

/// Runs `work` and returns the peak of the process relative to its start.
///
/// # Panics
///
/// If [`WINDOWS`] measurements are open.
pub(super) fn process_peak_of(work: &mut dyn FnMut()) -> u64 {
    let window = Window::open();
    work();
    window.peak_bytes()
}

/// A measurement of the process's peak.
struct Window {
    index: usize,
    start: i64,
}

impl Window {
    fn open() -> Self {
        let free = |claimed: u64| (claimed != u64::MAX).then(|| claimed | (claimed + 1));
        let claimed = CLAIMED.fetch_update(Ordering::Acquire, Ordering::Relaxed, free);
        let Ok(claimed) = claimed else {
            panic!("more than {WINDOWS} measurements of peak heap use are open");
        };
        let index = claimed.trailing_ones() as usize;
        let start = LIVE.load(Ordering::Relaxed);
        PEAKS[index].store(start, Ordering::Relaxed);
        RECORDING.fetch_or(1 << index, Ordering::Release);
        Window { index, start }
    }

    fn peak_bytes(&self) -> u64 {
        let peak = PEAKS[self.index].load(Ordering::Relaxed);
        u64::try_from(peak - self.start).unwrap_or(0)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        RECORDING.fetch_and(!(1 << self.index), Ordering::Relaxed);
        CLAIMED.fetch_and(!(1 << self.index), Ordering::Release);
    }
}

/// Runs `work` and returns the peak of the calling thread relative to its start.
pub(super) fn thread_peak_of(work: &mut dyn FnMut()) -> u64 {
    /// Restores the peak of an enclosing measurement, even if the work panics.
    struct Outer(i64);
    impl Drop for Outer {
        fn drop(&mut self) {
            let mut now = COUNTERS.get();
            now.peak = now.peak.max(self.0);
            COUNTERS.set(now);
        }
    }

    let start = COUNTERS.get();
    let _outer = Outer(start.peak);
    COUNTERS.set(Counters {
        peak: start.live,
        ..start
    });
    work();
    u64::try_from(COUNTERS.get().peak - start.live).unwrap_or(0)
}
