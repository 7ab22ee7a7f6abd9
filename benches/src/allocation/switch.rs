//! A global allocator that is selected when the program starts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, Ordering};

use mimalloc::MiMalloc;

use super::AllocatorKind;
use super::kind::POOL;
use super::recorder::Recorder;

/// The environment variable with the name of the allocator. The default is the system's.
pub const VARIABLE: &str = "BENCH_ALLOCATOR";

/// The name in [`VARIABLE`] of the system's allocator with recording.
pub const RECORDING: &str = "recording";

const NOT_CHOSEN: u8 = 0;
const SYSTEM: u8 = 1;
const MIMALLOC: u8 = 2;
const POOLED: u8 = 3;
const RECORDED: u8 = 4;

/// Passes all requests to the allocator that [`VARIABLE`] names.
///
/// The variable is read once, at the first request, so each block is freed by the allocator that allocated
/// it. A request costs an additional read, a branch and an indirect call, the same for every allocator.
#[derive(Debug)]
pub struct SwitchedAllocator {
    chosen: AtomicU8,
}

impl SwitchedAllocator {
    /// Creates an allocator without a selection.
    #[expect(clippy::new_without_default, reason = "the type is used in a static")]
    pub const fn new() -> Self {
        Self {
            chosen: AtomicU8::new(NOT_CHOSEN),
        }
    }

    /// Installs `PoolAllocator` if it is selected, as programs that use it do.
    pub fn install(&self) {
        self.chosen();
        if self.chosen.load(Ordering::Relaxed) == POOLED {
            // Fails only if it is already installed.
            let _ = POOL.install();
        }
    }

    fn chosen(&self) -> &'static (dyn GlobalAlloc + Sync) {
        let chosen = match self.chosen.load(Ordering::Relaxed) {
            NOT_CHOSEN => self.choose(),
            chosen => chosen,
        };
        match chosen {
            MIMALLOC => &MiMalloc,
            POOLED => &POOL,
            RECORDED => &Recorder,
            _ => &System,
        }
    }

    /// Reads the variable without allocating. `std::env::var` allocates a copy.
    #[cold]
    fn choose(&self) -> u8 {
        // SAFETY: the name ends with a NUL. This is the first allocation of the process, so no other
        // thread can change the environment, and the value is only read here.
        let name = unsafe {
            let value = libc::getenv(c"BENCH_ALLOCATOR".as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes())
        };
        let named = |kind: &AllocatorKind| name == Some(kind.name().as_bytes());
        let kind = AllocatorKind::ALL.into_iter().find(named);
        let chosen = match kind {
            Some(AllocatorKind::MiMalloc) => MIMALLOC,
            Some(AllocatorKind::PoolOff | AllocatorKind::Pool | AllocatorKind::PoolHugePages) => {
                POOLED
            }
            None if name == Some(RECORDING.as_bytes()) => RECORDED,
            Some(AllocatorKind::System | AllocatorKind::SystemRaised) | None => SYSTEM,
        };
        if let Some(kind) = kind {
            kind.prepare();
        }
        self.chosen.store(chosen, Ordering::Relaxed);
        chosen
    }
}

// SAFETY: every request is passed to the same allocator, which upholds the contract.
unsafe impl GlobalAlloc for SwitchedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the same contract.
        unsafe { self.chosen().alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the same contract.
        unsafe { self.chosen().dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds the same contract.
        unsafe { self.chosen().alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller upholds the same contract.
        unsafe { self.chosen().realloc(block, layout, new_size) }
    }
}
