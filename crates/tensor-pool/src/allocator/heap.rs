//! Access to the program's allocator for code that does not own its static.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr;
use std::sync::OnceLock;

use super::PoolAllocator;

/// The program's allocator, with any inner allocator.
pub type Heap = PoolAllocator<dyn GlobalAlloc + Send + Sync>;

static HEAP: OnceLock<&'static Heap> = OnceLock::new();

/// Returns the allocator that serves this program, if `main` [installed](PoolAllocator::install)
/// one.
///
/// Libraries use it to read the counts or to trim without owning the static.
///
/// ```
/// // Without an installed allocator the value is unknown, not 0.
/// let live = tensor_pool::heap().map(|heap| heap.stats().live_bytes);
/// assert_eq!(live, None);
/// ```
#[must_use]
pub fn heap() -> Option<&'static Heap> {
    HEAP.get().copied()
}

/// Whether the memory of the program exceeds the soft limit of the
/// [installed](PoolAllocator::install) allocator; see [`PoolAllocator::pressure`]. Returns `false`
/// if none is installed.
#[must_use]
pub fn pressure() -> bool {
    heap().is_some_and(PoolAllocator::pressure)
}

impl<A: GlobalAlloc + Send + Sync> PoolAllocator<A> {
    /// Registers this allocator for [`heap`], [`pressure`], [`Scope`](crate::Scope),
    /// [`PeakWindow`](crate::PeakWindow), [`seal`](crate::seal) and
    /// [`seal_process`](crate::seal_process). Call this once at the start of `main`.
    ///
    /// On glibc this also makes malloc raise its thresholds, unless the capacity is 0: one untouched
    /// block of 4 MiB is allocated from `A` and freed. Malloc returns free memory at the end of its
    /// heap to the kernel once that memory exceeds its trim threshold. With the initial 128 KiB,
    /// small blocks that are allocated and freed together cause page faults. Malloc raises the
    /// threshold to twice the size of a large block that is freed, but the pool retains such blocks.
    ///
    /// No parameter of malloc is set, so its automatic adjustment stays in effect: for C code in
    /// the same process, malloc behaves as in a program that has freed a block of 4 MiB. Values
    /// that the user sets (`MALLOC_TRIM_THRESHOLD_`, for example) stay in effect too.
    ///
    /// Returns `false` if this is not the program's `#[global_allocator]` (checked with one
    /// allocation), or if another allocator was installed before. In that case nothing changes.
    ///
    /// ```standalone_crate
    /// use tensor_pool::{PoolAllocator, heap};
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
    ///
    /// assert!(ALLOCATOR.install());
    /// assert!(heap().unwrap().stats().live_blocks > 0);
    ///
    /// // Not the program's allocator.
    /// static OTHER: PoolAllocator = PoolAllocator::new();
    /// assert!(!OTHER.install());
    /// ```
    #[must_use = "`false` means that this allocator does not serve the program"]
    pub fn install(&'static self) -> bool {
        let this: &'static Heap = self;
        let installed =
            this.is_global_allocator() && ptr::addr_eq(*HEAP.get_or_init(|| this), this);
        if installed && this.shelves.capacity() > 0 && cfg!(target_env = "gnu") {
            this.raise_malloc_thresholds();
        }
        installed
    }
}

impl Heap {
    /// Whether requests to the program's global allocator reach this instance.
    fn is_global_allocator(&self) -> bool {
        let before = self.counts.of_this_thread();
        // SAFETY: the layout's size is not 0, and the block is freed with the same layout.
        unsafe {
            let layout = Layout::new::<u64>();
            let block = black_box(std::alloc::alloc(layout));
            if !block.is_null() {
                std::alloc::dealloc(block, layout);
            }
        }
        self.counts.of_this_thread() != before
    }
}
