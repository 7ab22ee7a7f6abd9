//! Records allocator requests in order.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use memmap2::MmapMut;

use super::trace::{Operation, Recording, Request};
use crate::Result;

/// About forty times the requests of one speech. Only written pages use memory.
const MAX_REQUESTS: usize = 1 << 24;

/// A recorded request: address, size, and the other fields packed into one word. All words are zero until
/// the request is written.
type Line = [AtomicU64; 3];

static LINES: OnceLock<&'static [Line]> = OnceLock::new();
static NEXT_LINE: AtomicUsize = AtomicUsize::new(0);
static IS_ENABLED: AtomicBool = AtomicBool::new(false);
/// The largest block that was freed while recording was disabled, up to [`LARGEST_RELEVANT`].
static LARGEST_FREED: AtomicU64 = AtomicU64::new(0);
static NEXT_THREAD: AtomicU64 = AtomicU64::new(0);

/// glibc raises its thresholds when a block of up to `DEFAULT_MMAP_THRESHOLD_MAX` is freed; its header
/// and alignment take at most a page.
const LARGEST_RELEVANT: u64 = (32 << 20) - 4096;

/// The value of [`THREAD`] before the thread has a number.
const UNNUMBERED: u64 = u64::MAX;

thread_local! {
    // Without a destructor, so that the first use does not allocate.
    static THREAD: Cell<u64> = const { Cell::new(UNNUMBERED) };
}

/// Runs `work` and returns its result and the allocator requests of all threads during it. Other work of the
/// program should not allocate at the same time.
///
/// # Errors
///
/// `work` fails, the program does not run on [`RECORDING`](super::RECORDING), or it has recorded before.
pub fn record<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Recording)> {
    let map = MmapMut::map_anon(MAX_REQUESTS * size_of::<Line>())?;
    let map = Box::leak(Box::new(map));
    // SAFETY: the mapping is page-aligned, has this length, is zeroed and is never unmapped.
    // Zero is a valid value of the atomics, which have the layout of u64.
    let lines = unsafe { std::slice::from_raw_parts(map.as_ptr().cast::<Line>(), MAX_REQUESTS) };
    if LINES.set(lines).is_err() {
        return Err("allocations can be recorded only once per process".into());
    }
    IS_ENABLED.store(true, Ordering::SeqCst);
    let result = work();
    IS_ENABLED.store(false, Ordering::SeqCst);
    let result = result?;
    let count = NEXT_LINE.load(Ordering::SeqCst);
    if count == 0 {
        return Err(
            "nothing was recorded, because the program does not run on the recorder".into(),
        );
    }
    if count > MAX_REQUESTS {
        return Err(format!("{count} requests exceed the capacity of the recorder").into());
    }
    let recording = Recording {
        requests: lines[..count].iter().filter_map(read).collect(),
        largest_freed_before: LARGEST_FREED.load(Ordering::SeqCst),
    };
    Ok((result, recording))
}

/// The system's allocator. While [`record`] runs its work, every request is recorded.
pub(super) struct Recorder;

// SAFETY: every request is passed to the system's allocator.
//
// A block's end is recorded before the block is freed, and its start after it is allocated. If two blocks
// have the same address, the end of the older block is therefore recorded first. A resize is recorded as an
// end and a start.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the same contract.
        let block = unsafe { System.alloc(layout) };
        write(Operation::Alloc, block, layout.size(), layout);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let size = layout.size() as u64;
        if size <= LARGEST_RELEVANT && !IS_ENABLED.load(Ordering::Relaxed) {
            LARGEST_FREED.fetch_max(size, Ordering::Relaxed);
        }
        write(Operation::Free, block, layout.size(), layout);
        // SAFETY: the caller upholds the same contract.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the same contract.
        let block = unsafe { System.alloc_zeroed(layout) };
        write(Operation::AllocZeroed, block, layout.size(), layout);
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        write(Operation::ResizeFrom, block, layout.size(), layout);
        // SAFETY: the caller upholds the same contract.
        let resized = unsafe { System.realloc(block, layout, new_size) };
        match resized.is_null() {
            true => write(Operation::ResizeTo, block, layout.size(), layout),
            false => write(Operation::ResizeTo, resized, new_size, layout),
        }
        resized
    }
}

fn write(operation: Operation, block: *mut u8, size: usize, layout: Layout) {
    if !IS_ENABLED.load(Ordering::Relaxed) || block.is_null() {
        return;
    }
    let Some(lines) = LINES.get() else {
        return;
    };
    let thread = THREAD.get();
    let thread = match thread {
        UNNUMBERED => {
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
    // Never zero, because no operation is zero.
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
