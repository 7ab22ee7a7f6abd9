//! A global allocator that is chosen when the program starts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, Ordering};

use mimalloc::MiMalloc;

use super::AllocatorKind;
use super::kind::POOL;
use super::recorder::Recorder;

/// The environment variable with the allocator's name; the system's if it is not set.
pub const VARIABLE: &str = "BENCH_ALLOCATOR";

/// The name in [`VARIABLE`] of the system's allocator with what is asked of it written down.
pub const RECORDING: &str = "recording";

const NOT_CHOSEN: u8 = 0;
const SYSTEM: u8 = 1;
const MIMALLOC: u8 = 2;
const POOLED: u8 = 3;
const RECORDED: u8 = 4;

/// Passes everything to the allocator that [`VARIABLE`] names.
///
/// It looks once, at the very first request, so every block goes back to where it came from. Each
/// request costs a read, a branch and an indirect call more, with each allocator the same.
#[derive(Debug)]
pub struct SwitchedAllocator {
    chosen: AtomicU8,
}

impl SwitchedAllocator {
    /// Nothing is chosen yet.
    #[expect(clippy::new_without_default, reason = "it is for a static")]
    pub const fn new() -> Self {
        Self {
            chosen: AtomicU8::new(NOT_CHOSEN),
        }
    }

    /// Installs ours where that is what was chosen, as a program does that runs on it.
    pub fn install(&self) {
        self.chosen();
        if self.chosen.load(Ordering::Relaxed) == POOLED {
            // Refused only where it is installed already.
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

    /// Without allocating, as this is the allocator: `std` would copy the variable.
    #[cold]
    fn choose(&self) -> u8 {
        // SAFETY: the name ends with a NUL. This is the process's first allocation, so no other
        // thread has been started that could change the environment, and the value is only read here.
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

// SAFETY: every request goes to one and the same allocator, which keeps the contract.
unsafe impl GlobalAlloc for SwitchedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { self.chosen().alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { self.chosen().dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { self.chosen().alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { self.chosen().realloc(block, layout, new_size) }
    }
}
