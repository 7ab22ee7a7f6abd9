//! Writes down what is asked of the allocator, in the order in which it happens.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use memmap2::MmapMut;

use super::trace::{Operation, Recording, Request};
use crate::Result;

/// Some forty times what a speech makes. Only pages that are written take memory.
const MOST_REQUESTS: usize = 1 << 24;

/// A request as it is written: address, size, and the rest. All zero where nothing is written yet.
type Line = [AtomicU64; 3];

static LINES: OnceLock<&'static [Line]> = OnceLock::new();
static NEXT_LINE: AtomicUsize = AtomicUsize::new(0);
static IS_ON: AtomicBool = AtomicBool::new(false);
/// The largest block that was freed while nothing was recorded, up to [`LARGEST_OF_INTEREST`].
static LARGEST_FREED: AtomicU64 = AtomicU64::new(0);
static NEXT_THREAD: AtomicU64 = AtomicU64::new(0);

/// Where glibc stops to raise its thresholds, which it does when a large block is freed, less what it
/// puts around a block: `DEFAULT_MMAP_THRESHOLD_MAX` and a page.
const LARGEST_OF_INTEREST: u64 = (32 << 20) - 4096;

/// The thread has no number yet.
const NO_NUMBER: u64 = u64::MAX;

thread_local! {
    // Without a destructor, so that the first use does not allocate.
    static THREAD: Cell<u64> = const { Cell::new(NO_NUMBER) };
}

/// Runs `work` and returns what was asked of the allocator meanwhile, by all threads. Other requests
/// than those of `work` are better not made meanwhile.
///
/// # Errors
///
/// `work` fails; or this program does not run on [`RECORDING`](super::RECORDING), or it has recorded
/// before.
pub fn record<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Recording)> {
    let map = MmapMut::map_anon(MOST_REQUESTS * size_of::<Line>())?;
    let map = Box::leak(Box::new(map));
    // SAFETY: the mapping is aligned to pages, as long as this, zero, and never unmapped; zero is a
    // valid value of the atomics, which are of the same layout as u64.
    let lines = unsafe { std::slice::from_raw_parts(map.as_ptr().cast::<Line>(), MOST_REQUESTS) };
    if LINES.set(lines).is_err() {
        return Err("allocations can be recorded once in a process".into());
    }
    IS_ON.store(true, Ordering::SeqCst);
    let result = work();
    IS_ON.store(false, Ordering::SeqCst);
    let result = result?;
    let count = NEXT_LINE.load(Ordering::SeqCst);
    if count == 0 {
        return Err("nothing was recorded: the program does not run on the recorder".into());
    }
    if count > MOST_REQUESTS {
        return Err(format!("{count} requests are more than can be recorded").into());
    }
    let recording = Recording {
        requests: lines[..count].iter().filter_map(read).collect(),
        largest_freed_before: LARGEST_FREED.load(Ordering::SeqCst),
    };
    Ok((result, recording))
}

/// The system's allocator; while [`record`] runs its work, each request is written down.
pub(super) struct Recorder;

// SAFETY: every request goes to the system's allocator.
//
// A block's end is written down before it is freed, its beginning once it is there: of two blocks at
// the same address the older one's end then always comes first. A resized block ends and begins.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        let block = unsafe { System.alloc(layout) };
        write(Operation::Alloc, block, layout.size(), layout);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let size = layout.size() as u64;
        if size <= LARGEST_OF_INTEREST && !IS_ON.load(Ordering::Relaxed) {
            LARGEST_FREED.fetch_max(size, Ordering::Relaxed);
        }
        write(Operation::Free, block, layout.size(), layout);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        let block = unsafe { System.alloc_zeroed(layout) };
        write(Operation::AllocZeroed, block, layout.size(), layout);
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        write(Operation::ResizeFrom, block, layout.size(), layout);
        // SAFETY: the caller's promises are passed on.
        let resized = unsafe { System.realloc(block, layout, new_size) };
        match resized.is_null() {
            true => write(Operation::ResizeTo, block, layout.size(), layout),
            false => write(Operation::ResizeTo, resized, new_size, layout),
        }
        resized
    }
}

fn write(operation: Operation, block: *mut u8, size: usize, layout: Layout) {
    if !IS_ON.load(Ordering::Relaxed) || block.is_null() {
        return;
    }
    let Some(lines) = LINES.get() else {
        return;
    };
    let thread = THREAD.get();
    let thread = match thread {
        NO_NUMBER => {
            let number = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
            THREAD.set(number);
            number
        }
        number => number,
    };
    let number = NEXT_LINE.fetch_add(1, Ordering::SeqCst);
    let Some([address, bytes, rest]) = lines.get(number) else {
        return;
    };
    address.store(block as u64, Ordering::Relaxed);
    bytes.store(size as u64, Ordering::Relaxed);
    let alignment = u64::from(layout.align().trailing_zeros());
    let packed = thread << 16 | alignment << 8 | operation as u64;
    // Not zero, as no operation is.
    rest.store(packed, Ordering::Release);
}

fn read([address, bytes, rest]: &Line) -> Option<Request> {
    let packed = rest.load(Ordering::Acquire);
    Some(Request {
        operation: Operation::numbered(packed & 0xff)?,
        thread: (packed >> 16) as usize,
        address: address.load(Ordering::Relaxed),
        size: bytes.load(Ordering::Relaxed),
        align_log2: (packed >> 8 & 0xff) as u8,
    })
}
