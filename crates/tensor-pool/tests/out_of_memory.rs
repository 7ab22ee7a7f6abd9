//! What happens when the inner allocator fails.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use tensor_pool::PoolAllocator;

const MIB: usize = 1 << 20;

/// The system allocator up to a limit on the bytes in use.
struct Limited {
    left: AtomicUsize,
}

// SAFETY: every block comes from `System` and is freed there with the same layout.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(layout.size())
            });
        match taken {
            // SAFETY: as for this function.
            Ok(_) => unsafe { System.alloc(layout) },
            Err(_) => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.left.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as for this function.
        unsafe { System.dealloc(block, layout) };
    }
}

static POOL: PoolAllocator<Limited> = PoolAllocator::with(
    Limited {
        left: AtomicUsize::new(10 * MIB),
    },
    (64 * MIB) as u64,
);

/// The size of each refused request, summed.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

fn refused() -> usize {
    REFUSED.swap(0, Ordering::Relaxed)
}

#[test]
fn hook_runs_for_each_request_that_fails_after_idle_blocks_were_freed() {
    let hook = |layout: Layout| {
        REFUSED.fetch_add(layout.size(), Ordering::Relaxed);
    };
    assert!(POOL.set_out_of_memory_hook(hook));
    assert!(!POOL.set_out_of_memory_hook(|_| ()), "the first one stays");

    // SAFETY: no size is 0, each block is freed once and with the layout it was allocated with.
    unsafe {
        let idle = POOL.alloc(layout(8 * MIB));
        POOL.dealloc(idle, layout(8 * MIB));
        assert_eq!(POOL.stats().retained_bytes, 8 << 20);

        // Almost everything that is left beside the idle block, in small blocks.
        let filler = layout(32 << 10);
        let fillers: Vec<_> = (0..64).map(|_| POOL.alloc(filler)).collect();
        let small = POOL.alloc(layout(100));
        assert!(!small.is_null(), "a small request frees the idle block");
        assert_eq!(POOL.stats().retained_bytes, 0);
        assert_eq!(refused(), 0);

        let large = POOL.alloc(layout(7 * MIB));
        assert!(!large.is_null());
        assert!(POOL.alloc(layout(2 * MIB)).is_null());
        assert_eq!(refused(), 2 * MIB);
        assert!(POOL.alloc_zeroed(layout(2 * MIB)).is_null());
        assert_eq!(refused(), 2 * MIB);
        assert!(POOL.realloc(small, layout(100), 2 * MIB).is_null());
        assert_eq!(refused(), 2 * MIB);

        let mut more = Vec::new();
        loop {
            let block = POOL.alloc(filler);
            if block.is_null() {
                break;
            }
            more.push(block);
        }
        assert_eq!(refused(), filler.size());
        assert!(POOL.alloc_zeroed(filler).is_null());
        assert_eq!(refused(), filler.size());
        assert!(POOL.realloc(small, layout(100), filler.size()).is_null());
        assert_eq!(refused(), filler.size(), "a failed resize is counted once");

        POOL.dealloc(large, layout(7 * MIB));
        POOL.dealloc(small, layout(100));
        for block in fillers.into_iter().chain(more) {
            POOL.dealloc(block, filler);
        }
    }
    assert_eq!(POOL.stats().live_bytes, 0);
}
