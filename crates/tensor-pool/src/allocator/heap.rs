//! The allocator that serves the program, for code that does not own its static.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr;
use std::sync::OnceLock;

use super::{PoolAllocator, system};

/// What malloc keeps free at the end of a heap: what it comes to by itself in programs that free
/// blocks of 4 MiB.
const TRIM_THRESHOLD: i32 = 8 << 20;

/// The program's allocator, whatever it is built on.
pub type Heap = PoolAllocator<dyn GlobalAlloc + Send + Sync>;

static HEAP: OnceLock<&'static Heap> = OnceLock::new();

/// The allocator that serves this program, if its `main` [installed](PoolAllocator::install) one.
///
/// With this a library reads the counts, trims and so on, without owning the static.
///
/// ```
/// // "unknown" where there is none, not 0.
/// let live = tensor_pool::heap().map(|heap| heap.stats().live_bytes);
/// assert_eq!(live, None);
/// ```
#[must_use]
pub fn heap() -> Option<&'static Heap> {
    HEAP.get().copied()
}

/// Whether the program holds more memory than the soft limit of the
/// [installed](PoolAllocator::install) allocator; see [`PoolAllocator::pressure`]. Without one there
/// is no limit, and this is `false`.
#[must_use]
pub fn pressure() -> bool {
    heap().is_some_and(PoolAllocator::pressure)
}

impl<A: GlobalAlloc + Send + Sync> PoolAllocator<A> {
    /// Makes this allocator the one that [`heap`], [`pressure`], [`Scope`](crate::Scope),
    /// [`PeakWindow`](crate::PeakWindow), [`seal`](crate::seal) and
    /// [`seal_process`](crate::seal_process) speak of. Call it once, first thing in `main`.
    ///
    /// On glibc it also raises malloc's trim threshold to 8 MiB, unless the capacity is 0 or the
    /// environment variable `MALLOC_TRIM_THRESHOLD_` sets another. Below it malloc keeps the free end
    /// of its heap; 128 KiB to begin with, so that small blocks which come and go together cost page
    /// faults. Malloc raises it by itself when a large block is freed, of which it sees none any more.
    /// To set it ends that, so one that is only to count gets its capacity of 0 before this call.
    ///
    /// `false` where this is not the program's `#[global_allocator]` (one request is made to find
    /// out) or another one was installed before; nothing is changed then.
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
    #[must_use = "`false` says that the counts would not be the program's"]
    pub fn install(&'static self) -> bool {
        let this: &'static Heap = self;
        let installed = this.serves_the_program() && ptr::addr_eq(*HEAP.get_or_init(|| this), this);
        if installed && this.shelves.capacity() > 0 {
            system::raise_trim_threshold(TRIM_THRESHOLD);
        }
        installed
    }
}

impl Heap {
    /// Whether a request made to the program's allocator arrives here.
    fn serves_the_program(&self) -> bool {
        let before = self.counts.of_this_thread();
        // SAFETY: the layout's size is not 0, and the block goes back with the same layout.
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
