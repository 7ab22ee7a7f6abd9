//! Raw allocation: the only place where blocks come and go.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::Relaxed;

use super::PoolAllocator;
use super::class::{Alignment, Place, SMALLEST};
use super::counts::Change;
use super::shelves::Idle;
use super::system;

/// What recycled blocks hold in debug builds, so that code which reads what it never wrote is found
/// out. jemalloc's junk byte for fresh memory.
const JUNK: u8 = 0xA5;

/// Up to here a block is cleared, or copied to where it can grow, sooner than the system's allocator
/// has found one that is clear or room to grow: glibc's `malloc` and `free` have a cache per thread,
/// but `calloc` (before 2.41) and `realloc` lock an arena and look at a block's neighbours. A page:
/// the requests that `cargo xtask bench allocation` replays took 5 to 15 % less time with any limit
/// from 2 to 64 KiB, and not reliably less with smaller ones.
const SOON_WRITTEN: usize = 4096;

/// How a large request is served.
#[derive(Clone, Copy)]
enum Route {
    /// With a block of a class.
    Pooled(Place),
    /// By the allocator below, as it is, but for the alignment: a pooled block that grows out of the
    /// largest class must be able to become one of these.
    Through(Layout),
}

impl Route {
    /// `None` for a size that cannot exist.
    #[inline]
    fn of(layout: Layout) -> Option<Self> {
        if let Some(place) = Place::of(layout) {
            return Some(Self::Pooled(place));
        }
        let align = layout.align().max(Alignment::LEAST);
        let layout = Layout::from_size_align(layout.size(), align).ok()?;
        Some(Self::Through(layout))
    }

    /// What the allocator below is asked for.
    #[inline]
    fn layout(self) -> Layout {
        match self {
            Self::Pooled(place) => place.layout(),
            Self::Through(layout) => layout,
        }
    }

    /// What is asked for beyond the request.
    #[inline]
    fn padding(self, size: usize) -> u64 {
        (self.layout().size() - size) as u64
    }
}

/// What a new block holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Any,
    Zeros,
}

// SAFETY: a block comes from `inner`, with at least the size and alignment asked for, and is with one
// user or on one shelf at a time. It goes back to `inner` with the layout it came with: small ones as
// they are, large ones by `Route`, which depends on nothing but the layout. Nothing here unwinds:
// there is no user code, and neither indices nor sums can overflow.
unsafe impl<A: GlobalAlloc + ?Sized> GlobalAlloc for PoolAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_plain(layout) {
            // SAFETY: as for this function.
            return unsafe { self.alloc_other(layout, Content::Any) };
        }
        // SAFETY: as for this function.
        let block = unsafe { self.inner.alloc(layout) };
        if block.is_null() || self.counts.grew(1, layout.size()) {
            return block;
        }
        self.grew_with_more_to_do(block, 1, layout.size())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_plain(layout) {
            // SAFETY: as for this function.
            return unsafe { self.alloc_other(layout, Content::Zeros) };
        }
        // SAFETY: as for this function.
        let block = unsafe { self.small_zeroed(layout) };
        if block.is_null() || self.counts.grew(1, layout.size()) {
            return block;
        }
        self.grew_with_more_to_do(block, 1, layout.size())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() >= SMALLEST {
            // SAFETY: as for this function.
            return unsafe { self.dealloc_large(block, layout) };
        }
        // Counted first: then nothing is to be kept while the allocator below works, and the block is
        // not counted twice when another thread gets it at once.
        if !self.counts.shrank(1, layout.size()) {
            // SAFETY: as for this function.
            return unsafe { self.dealloc_with_more_to_do(block, layout) };
        }
        // SAFETY: a small block came from `inner` with this very layout.
        unsafe { self.inner.dealloc(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.size() >= SMALLEST || new_size >= SMALLEST {
            // SAFETY: as for this function.
            return unsafe { self.realloc_large(block, layout, new_size) };
        }
        // SAFETY: as for this function; both sizes are small.
        let moved = unsafe { self.small_resized(block, layout, new_size) };
        if moved.is_null() {
            return moved;
        }
        if new_size >= layout.size() {
            let bytes = new_size - layout.size();
            if self.counts.grew(0, bytes) {
                return moved;
            }
            self.grew_with_more_to_do(moved, 0, bytes)
        } else {
            let bytes = layout.size() - new_size;
            if self.counts.shrank(0, bytes) {
                return moved;
            }
            self.shrank_with_more_to_do(moved, 0, bytes)
        }
    }
}

/// Whether a request is one of the many: small, and of an alignment that `malloc` gives to every
/// block of its size. Said in the same words as in `System`, so that what it does for other
/// alignments is not part of the short path.
#[inline]
fn is_plain(layout: Layout) -> bool {
    layout.size() < SMALLEST
        && layout.align() <= Alignment::LEAST
        && layout.align() <= layout.size()
}

impl<A: GlobalAlloc + ?Sized> PoolAllocator<A> {
    /// A small block filled with zeros, not counted yet.
    ///
    /// # Safety
    /// As [`GlobalAlloc::alloc_zeroed`].
    #[inline]
    unsafe fn small_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > SOON_WRITTEN {
            // SAFETY: as for this function.
            return unsafe { self.inner.alloc_zeroed(layout) };
        }
        // The compiler knows `malloc`, and would make one call of `calloc` of this and what follows.
        // SAFETY: as for this function.
        let block = black_box(unsafe { self.inner.alloc(layout) });
        if !block.is_null() {
            // SAFETY: the block is ours alone, and at least that long.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    /// What becomes of a small block that is to have another small size, not counted yet.
    ///
    /// # Safety
    /// As [`GlobalAlloc::realloc`].
    #[inline]
    unsafe fn small_resized(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Who shrinks a block wants to keep no more than is needed, at any cost.
        if new_size <= layout.size() || new_size > SOON_WRITTEN {
            // SAFETY: as for this function; a small block came from `inner` with this very layout.
            return unsafe { self.inner.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller answers for the new size not being 0, and not overflowing when rounded up
        // to `align`.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: likewise.
        let moved = unsafe { self.inner.alloc(new_layout) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least this long, and a new block overlaps no other.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size()) };
            // SAFETY: a small block came from `inner` with this very layout.
            unsafe { self.inner.dealloc(block, layout) };
        }
        moved
    }

    /// Does what `grew` left. Hands the block on, so that a caller ends with this and needs no stack.
    #[cold]
    #[inline(never)]
    fn grew_with_more_to_do(&self, block: *mut u8, requests: u64, bytes: usize) -> *mut u8 {
        self.counts.finish(Change {
            allocations: requests,
            allocated: bytes as u64,
            ..Change::default()
        });
        block
    }

    /// Does what `shrank` left; likewise.
    #[cold]
    #[inline(never)]
    fn shrank_with_more_to_do(&self, block: *mut u8, blocks: u64, bytes: usize) -> *mut u8 {
        self.counts.finish(Change {
            frees: blocks,
            freed: bytes as u64,
            ..Change::default()
        });
        block
    }

    /// The rest of `dealloc`, from what `shrank` left on.
    ///
    /// # Safety
    /// As [`GlobalAlloc::dealloc`].
    #[cold]
    #[inline(never)]
    unsafe fn dealloc_with_more_to_do(&self, block: *mut u8, layout: Layout) {
        let block = self.shrank_with_more_to_do(block, 1, layout.size());
        // SAFETY: as for this function; a small block came from `inner` with this very layout.
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
            // SAFETY: likewise.
            Content::Zeros => unsafe { self.small_zeroed(layout) },
        };
        if block.is_null() || self.counts.grew(1, layout.size()) {
            return block;
        }
        self.grew_with_more_to_do(block, 1, layout.size())
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
                    // SAFETY: the block is ours alone, and its class holds `size` bytes.
                    unsafe { block.write_bytes(byte, size) };
                }
                block.as_ptr()
            }
            None => {
                self.seals.record(size, self.counts.id());
                let wanted = route.layout();
                let block = self.ask(|| match content {
                    // SAFETY: the size is not 0, as it is at least `SMALLEST`.
                    Content::Any => unsafe { self.inner.alloc(wanted) },
                    // SAFETY: likewise.
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

    /// Asks the allocator below; once more with all idle blocks given back if it has nothing.
    fn ask(&self, below: impl Fn() -> *mut u8) -> *mut u8 {
        let block = below();
        if block.is_null() && self.give_back_excess(|| 0) > 0 {
            return below();
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
                        self.give_back_excess(|| self.shelves.capacity());
                    }
                } else {
                    self.give_back(Idle { block, place });
                }
            }
            // SAFETY: it came from `inner` with this layout.
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
        // SAFETY: the caller answers for the new size not overflowing when rounded up to `align`.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let small = layout.size() < SMALLEST || new_size < SMALLEST;
        if let (false, Some(old), Some(new)) = (small, Route::of(layout), Route::of(new_layout)) {
            match (old, new) {
                (Route::Pooled(_), Route::Pooled(_)) if old.layout() == new.layout() => {
                    self.count_resize(old, layout.size(), new, new_size, true);
                    return block;
                }
                // To copy between classes pays where the old block is kept for the next request.
                (Route::Pooled(_), Route::Pooled(_)) if self.shelves.capacity() > 0 => {}
                // The allocator below may be able to move pages instead of bytes.
                _ => {
                    self.seals.record(new_size, self.counts.id());
                    // SAFETY: the block came from `inner` with `old`'s layout, and `new`'s, which
                    // has the same alignment, is valid and not of size 0.
                    let moved = self.ask(|| unsafe {
                        self.inner.realloc(block, old.layout(), new.layout().size())
                    });
                    if !moved.is_null() {
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

    /// A block keeps its place in the counts, and its bytes change.
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

    /// Gives back idle blocks until at most `keep` bytes are left; how many bytes that were.
    pub(super) fn give_back_excess(&self, keep: impl Fn() -> u64) -> u64 {
        self.shelves
            .take_excess(keep)
            .map(|idle| self.give_back(idle))
            .sum()
    }

    /// Gives back idle blocks that were not needed since the last call; how many bytes that were.
    pub(super) fn give_back_unused(&self) -> u64 {
        self.shelves
            .take_unused()
            .map(|idle| self.give_back(idle))
            .sum()
    }

    fn give_back(&self, idle: Idle) -> u64 {
        let layout = idle.place.layout();
        // SAFETY: an idle block is nobody's, and came from `inner` with its place's layout.
        unsafe { self.inner.dealloc(idle.block.as_ptr(), layout) };
        layout.size() as u64
    }
}

impl<A: GlobalAlloc + ?Sized> Drop for PoolAllocator<A> {
    fn drop(&mut self) {
        self.give_back_excess(|| 0);
    }
}
