//! The `GlobalAlloc` implementation: the only place where blocks are allocated and freed.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::Relaxed;

use super::PoolAllocator;
use super::class::{Alignment, Place, SMALLEST};
use super::counts::Change;
use super::shelves::Idle;
use super::system;

/// Fill byte of recycled blocks in debug builds, which exposes reads of uninitialized memory.
/// jemalloc's junk byte for new memory.
const JUNK: u8 = 0xA5;

/// Up to this size, `alloc` plus clearing or copying is faster than the system's `calloc` or
/// `realloc`.
///
/// glibc's `malloc` and `free` have a cache per thread, but `calloc` (before 2.41) and `realloc`
/// lock an arena and inspect the neighbours of a block. The value is one page: the requests that
/// `cargo xtask bench allocation` replays took 5 to 15 % less time with any limit from 2 to 64 KiB,
/// and not reliably less with smaller ones.
const FILL_LIMIT: usize = 4096;

/// Up to this size, a block that changes its class is always copied, and the old block is retained
/// for the next request. Above it, growth by less than half is left to the inner allocator: copying
/// at each of the eight classes of a doubling copies nine times the final size and retains as much.
/// Growth to 1 MiB in small steps copies and retains at most 9 MiB.
const COPY_LIMIT: usize = 1 << 20;

/// The block that [`PoolAllocator::raise_malloc_thresholds`] frees. Malloc then keeps up to 8 MiB
/// of free memory at the end of its heap and serves requests below 4 MiB from the heap. Larger
/// values would keep more memory in a program whose large blocks are in the pool.
const FREED_ONCE: Layout = match Layout::from_size_align(4 << 20, Alignment::LEAST) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// How a large request is served.
#[derive(Clone, Copy)]
enum Route {
    /// From a size class.
    Pooled(Place),
    /// By the inner allocator, with the size unchanged. The alignment is raised to at least that of
    /// pooled blocks, so that a pooled block can grow beyond the largest class.
    Through(Layout),
}

impl Route {
    /// Returns the route for `layout`, or `None` for an impossible size.
    #[inline]
    fn of(layout: Layout) -> Option<Self> {
        if let Some(place) = Place::of(layout) {
            return Some(Self::Pooled(place));
        }
        let align = layout.align().max(Alignment::LEAST);
        let layout = Layout::from_size_align(layout.size(), align).ok()?;
        Some(Self::Through(layout))
    }

    /// Returns the layout that is requested from the inner allocator.
    #[inline]
    fn layout(self) -> Layout {
        match self {
            Self::Pooled(place) => place.layout(),
            Self::Through(layout) => layout,
        }
    }

    /// Returns the bytes that are allocated in addition to the request.
    #[inline]
    fn padding(self, size: usize) -> u64 {
        (self.layout().size() - size) as u64
    }
}

/// The required content of a new block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Any,
    Zeros,
}

// SAFETY: a block comes from `inner`, with at least the requested size and alignment, and is owned
// by one user or one shelf at a time. It is freed to `inner` with the layout that it was allocated
// with: small blocks with the layout of the request, large blocks with that of their `Route`, which
// depends only on the layout of the request. Nothing here unwinds: there is no user code, and
// neither indices nor sums can overflow.
unsafe impl<A: GlobalAlloc + ?Sized> GlobalAlloc for PoolAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_plain(layout) {
            // SAFETY: as for this function.
            return unsafe { self.alloc_other(layout, Content::Any) };
        }
        // SAFETY: as for this function.
        let block = unsafe { self.inner.alloc(layout) };
        if block.is_null() {
            // SAFETY: as for this function.
            return unsafe { self.alloc_again(layout, Content::Any) };
        }
        if self.counts.grew(1, layout.size()) {
            return block;
        }
        self.finish_grew(block, 1, layout.size())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_plain(layout) {
            // SAFETY: as for this function.
            return unsafe { self.alloc_other(layout, Content::Zeros) };
        }
        // SAFETY: as for this function.
        let block = unsafe { self.small_zeroed(layout) };
        if block.is_null() {
            // SAFETY: as for this function.
            return unsafe { self.alloc_again(layout, Content::Zeros) };
        }
        if self.counts.grew(1, layout.size()) {
            return block;
        }
        self.finish_grew(block, 1, layout.size())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() >= SMALLEST {
            // SAFETY: as for this function.
            return unsafe { self.dealloc_large(block, layout) };
        }
        // Count before freeing: no value stays live across the call, and another thread that gets
        // the block immediately does not count it twice.
        if !self.counts.shrank(1, layout.size()) {
            // SAFETY: as for this function.
            return unsafe { self.finish_dealloc(block, layout) };
        }
        // SAFETY: a small block came from `inner` with this layout.
        unsafe { self.inner.dealloc(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.size() >= SMALLEST || new_size >= SMALLEST {
            // SAFETY: as for this function.
            return unsafe { self.realloc_large(block, layout, new_size) };
        }
        // SAFETY: as for this function; both sizes are small.
        let mut moved = unsafe { self.small_resized(block, layout, new_size) };
        if moved.is_null() {
            // SAFETY: as above; after a failure the block is unchanged.
            let resize = || unsafe { self.small_resized(block, layout, new_size) };
            // SAFETY: the caller guarantees that the new size does not overflow when rounded up to
            // `align`.
            let wanted = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
            moved = self.again(wanted, resize);
            if moved.is_null() {
                return moved;
            }
        }
        if new_size >= layout.size() {
            let bytes = new_size - layout.size();
            if self.counts.grew(0, bytes) {
                return moved;
            }
            self.finish_grew(moved, 0, bytes)
        } else {
            let bytes = layout.size() - new_size;
            if self.counts.shrank(0, bytes) {
                return moved;
            }
            self.finish_shrank(moved, 0, bytes)
        }
    }
}

/// Whether a request is small and has an alignment that `malloc` guarantees for every block of its
/// size. `System` makes the same check in the same form, so the compiler removes its path for other
/// alignments from the fast path.
#[inline]
fn is_plain(layout: Layout) -> bool {
    layout.size() < SMALLEST
        && layout.align() <= Alignment::LEAST
        && layout.align() <= layout.size()
}

impl<A: GlobalAlloc + ?Sized> PoolAllocator<A> {
    /// Allocates a zeroed small block, without counting it.
    ///
    /// # Safety
    /// As [`GlobalAlloc::alloc_zeroed`].
    #[inline]
    unsafe fn small_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > FILL_LIMIT {
            // SAFETY: as for this function.
            return unsafe { self.inner.alloc_zeroed(layout) };
        }
        // `black_box` keeps the compiler from merging this `malloc` and the fill below into one
        // `calloc`.
        // SAFETY: as for this function.
        let block = black_box(unsafe { self.inner.alloc(layout) });
        if !block.is_null() {
            // SAFETY: the block is not shared and has at least this length.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    /// Resizes a small block to another small size, without counting it.
    ///
    /// # Safety
    /// As [`GlobalAlloc::realloc`].
    #[inline]
    unsafe fn small_resized(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Shrinking is a request to use less memory, so it always goes to `inner`, whatever the
        // cost.
        if new_size <= layout.size() || new_size > FILL_LIMIT {
            // SAFETY: as for this function; a small block came from `inner` with this layout.
            return unsafe { self.inner.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller guarantees that the new size is not 0 and does not overflow when
        // rounded up to `align`.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: as above.
        let moved = unsafe { self.inner.alloc(new_layout) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least this long, and a new block overlaps no other.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size()) };
            // SAFETY: a small block came from `inner` with this layout.
            unsafe { self.inner.dealloc(block, layout) };
        }
        moved
    }

    /// Completes the counting after `grew` returned `false`. Returns `block`, so that callers can
    /// use a tail call and need no stack frame.
    #[cold]
    #[inline(never)]
    fn finish_grew(&self, block: *mut u8, requests: u64, bytes: usize) -> *mut u8 {
        self.counts.finish(Change {
            allocations: requests,
            allocated: bytes as u64,
            ..Change::default()
        });
        block
    }

    /// Completes the counting after `shrank` returned `false`. Returns `block`, as above.
    #[cold]
    #[inline(never)]
    fn finish_shrank(&self, block: *mut u8, blocks: u64, bytes: usize) -> *mut u8 {
        self.counts.finish(Change {
            frees: blocks,
            freed: bytes as u64,
            ..Change::default()
        });
        block
    }

    /// Completes `dealloc` after `shrank` returned `false`.
    ///
    /// # Safety
    /// As [`GlobalAlloc::dealloc`].
    #[cold]
    #[inline(never)]
    unsafe fn finish_dealloc(&self, block: *mut u8, layout: Layout) {
        let block = self.finish_shrank(block, 1, layout.size());
        // SAFETY: as for this function; a small block came from `inner` with this layout.
        unsafe { self.inner.dealloc(block, layout) };
    }

    /// # Safety
    /// As [`GlobalAlloc::alloc`].
    #[inline(never)]
    unsafe fn alloc_other(&self, layout: Layout, content: Content) -> *mut u8 {
        if layout.size() >= SMALLEST {
            // SAFETY: as for this function.
            return unsafe { self.alloc_large(layout, content) };
        }
        let block = match content {
            // SAFETY: as for this function.
            Content::Any => unsafe { self.inner.alloc(layout) },
            // SAFETY: as above.
            Content::Zeros => unsafe { self.small_zeroed(layout) },
        };
        if block.is_null() {
            // SAFETY: as above.
            return unsafe { self.alloc_again(layout, content) };
        }
        if self.counts.grew(1, layout.size()) {
            return block;
        }
        self.finish_grew(block, 1, layout.size())
    }

    /// Repeats a small request that failed, and counts it.
    ///
    /// # Safety
    /// As [`GlobalAlloc::alloc`].
    #[cold]
    #[inline(never)]
    unsafe fn alloc_again(&self, layout: Layout, content: Content) -> *mut u8 {
        let block = self.again(layout, || match content {
            // SAFETY: as for this function.
            Content::Any => unsafe { self.inner.alloc(layout) },
            // SAFETY: as for this function.
            Content::Zeros => unsafe { self.small_zeroed(layout) },
        });
        if block.is_null() || self.counts.grew(1, layout.size()) {
            return block;
        }
        self.finish_grew(block, 1, layout.size())
    }

    /// Repeats a failed request after all idle blocks were released. If it fails again, runs the
    /// program's hook.
    #[cold]
    #[inline(never)]
    fn again(&self, layout: Layout, request: impl Fn() -> *mut u8) -> *mut u8 {
        if self.release_excess(|| 0) > 0 {
            let block = request();
            if !block.is_null() {
                return block;
            }
        }
        if let Some(hook) = self.out_of_memory.get() {
            hook(layout);
        }
        ptr::null_mut()
    }

    /// # Safety
    /// As [`GlobalAlloc::alloc`].
    unsafe fn alloc_large(&self, layout: Layout, content: Content) -> *mut u8 {
        let Some(route) = Route::of(layout) else {
            return ptr::null_mut();
        };
        let size = layout.size();
        let recycled = match route {
            Route::Pooled(place) => self.shelves.take(place),
            Route::Through(_) => None,
        };
        let from_pool = recycled.is_some();
        let block = match recycled {
            Some(block) => {
                let fill = match content {
                    Content::Zeros => Some(0),
                    Content::Any => cfg!(debug_assertions).then_some(JUNK),
                };
                if let Some(byte) = fill {
                    // SAFETY: the block is not shared, and its class has at least `size` bytes.
                    unsafe { block.write_bytes(byte, size) };
                }
                block.as_ptr()
            }
            None => {
                self.seals.record(size, self.counts.id());
                let wanted = route.layout();
                let block = self.request(wanted, || match content {
                    // SAFETY: the size is not 0, as it is at least `SMALLEST`.
                    Content::Any => unsafe { self.inner.alloc(wanted) },
                    // SAFETY: as above.
                    Content::Zeros => unsafe { self.inner.alloc_zeroed(wanted) },
                });
                if self.huge_pages.load(Relaxed) {
                    system::advise_huge_pages(block, wanted.size());
                }
                block
            }
        };
        if !block.is_null() {
            self.counts.apply_large(Change {
                allocations: 1,
                allocated: size as u64,
                pool_allocations: u64::from(from_pool),
                pool_allocated: if from_pool { size as u64 } else { 0 },
                padding: route.padding(size),
                ..Change::default()
            });
        }
        block
    }

    /// Requests a block from the inner allocator. If that fails, releases all idle blocks and tries
    /// once more.
    fn request(&self, layout: Layout, allocate: impl Fn() -> *mut u8) -> *mut u8 {
        let block = allocate();
        if block.is_null() {
            return self.again(layout, allocate);
        }
        block
    }

    /// # Safety
    /// As [`GlobalAlloc::dealloc`].
    #[inline(never)]
    unsafe fn dealloc_large(&self, block: *mut u8, layout: Layout) {
        // A block of an impossible size was never granted.
        let (Some(route), Some(block)) = (Route::of(layout), NonNull::new(block)) else {
            return;
        };
        match route {
            Route::Pooled(place) => {
                let idle = Idle { block, place };
                if self.shelves.put(idle) {
                    if self.shelves.is_over() {
                        self.release_excess(|| self.shelves.capacity());
                    }
                } else {
                    self.release(Idle { block, place });
                }
            }
            // SAFETY: the block came from `inner` with this layout.
            Route::Through(layout) => unsafe { self.inner.dealloc(block.as_ptr(), layout) },
        }
        self.counts.apply_large(Change {
            frees: 1,
            freed: layout.size() as u64,
            padding: route.padding(layout.size()).wrapping_neg(),
            ..Change::default()
        });
    }

    /// # Safety
    /// As [`GlobalAlloc::realloc`].
    #[inline(never)]
    unsafe fn realloc_large(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that the new size does not overflow when rounded up to
        // `align`.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let small = layout.size() < SMALLEST || new_size < SMALLEST;
        if let (false, Some(old), Some(new)) = (small, Route::of(layout), Route::of(new_layout)) {
            match (old, new) {
                (Route::Pooled(_), Route::Pooled(_)) if old.layout() == new.layout() => {
                    self.count_resize(old, layout.size(), new, new_size, true);
                    return block;
                }
                (Route::Pooled(old), Route::Pooled(new))
                    if self.copies_between(old, new, layout.size(), new_size) => {}
                // The inner allocator may be able to move pages instead of copying bytes.
                _ => {
                    self.seals.record(new_size, self.counts.id());
                    // SAFETY: the block came from `inner` with `old`'s layout, and `new`'s, which
                    // has the same alignment, is valid and not of size 0.
                    let moved = self.request(new.layout(), || unsafe {
                        self.inner.realloc(block, old.layout(), new.layout().size())
                    });
                    if !moved.is_null() {
                        if self.huge_pages.load(Relaxed) {
                            system::advise_huge_pages(moved, new.layout().size());
                        }
                        self.count_resize(old, layout.size(), new, new_size, false);
                    }
                    return moved;
                }
            }
        }
        // SAFETY: the new size is not 0, and its layout is valid as above.
        let moved = unsafe { self.alloc(new_layout) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least this long, and a new block overlaps no other.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size)) };
            // SAFETY: as for this function.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }

    /// Whether a block that changes its class is copied to a block of the new class, and the old
    /// block retained. Otherwise the inner allocator resizes it.
    fn copies_between(&self, old: Place, new: Place, old_size: usize, new_size: usize) -> bool {
        // A block that cannot be retained is of no use for the next request.
        if old.class.size().max(new.class.size()) as u64 > self.shelves.capacity() {
            return false;
        }
        old_size < COPY_LIMIT || new_size < old_size || new_size - old_size >= old_size / 2
    }

    /// Counts a resize: the number of blocks stays, the bytes change.
    fn count_resize(&self, old: Route, old_size: usize, new: Route, new_size: usize, pooled: bool) {
        let grown = new_size.saturating_sub(old_size) as u64;
        self.counts.apply_large(Change {
            allocated: grown,
            freed: old_size.saturating_sub(new_size) as u64,
            pool_allocated: if pooled { grown } else { 0 },
            padding: new.padding(new_size).wrapping_sub(old.padding(old_size)),
            ..Change::default()
        });
    }

    /// Allocates and frees one block of the inner allocator, so that glibc's malloc raises its
    /// thresholds to the size of that block. Has no effect if the allocation fails.
    pub(super) fn raise_malloc_thresholds(&self) {
        // SAFETY: the size is not 0, and the block is freed with the same layout. `black_box` keeps
        // the compiler from removing both calls.
        unsafe {
            let block = black_box(self.inner.alloc(FREED_ONCE));
            if !block.is_null() {
                self.inner.dealloc(block, FREED_ONCE);
            }
        }
    }

    /// Releases idle blocks until at most `keep` bytes are retained. Returns the number of bytes
    /// released.
    fn release_excess(&self, keep: impl Fn() -> u64) -> u64 {
        self.shelves
            .take_excess(keep)
            .map(|idle| self.release(idle))
            .sum()
    }

    /// Releases idle blocks, and their pages to the kernel, until at most `keep` bytes are
    /// retained. Returns the number of bytes released.
    pub(super) fn discard_excess(&self, keep: impl Fn() -> u64) -> u64 {
        self.shelves
            .take_excess(keep)
            .map(|idle| self.discard(idle))
            .sum()
    }

    /// Releases the idle blocks that were not needed since the last call, and their pages to the
    /// kernel. Returns the number of bytes released.
    pub(super) fn discard_unused(&self) -> u64 {
        self.shelves
            .take_unused()
            .map(|idle| self.discard(idle))
            .sum()
    }

    /// Releases a block whose pages are returned to the kernel first. The inner allocator may keep
    /// a freed block: `malloc_trim` does not return the free memory at the end of a thread's arena.
    fn discard(&self, idle: Idle) -> u64 {
        // SAFETY: an idle block has no user, and its class has this size.
        unsafe { system::discard_pages(idle.block.as_ptr(), idle.place.class.size()) };
        self.release(idle)
    }

    fn release(&self, idle: Idle) -> u64 {
        let layout = idle.place.layout();
        // SAFETY: an idle block has no user, and it came from `inner` with the layout of its place.
        unsafe { self.inner.dealloc(idle.block.as_ptr(), layout) };
        layout.size() as u64
    }
}

impl<A: GlobalAlloc + ?Sized> Drop for PoolAllocator<A> {
    fn drop(&mut self) {
        self.release_excess(|| 0);
    }
}
