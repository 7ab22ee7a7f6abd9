//! The allocators that are compared.

use std::process::Command;

use serde::{Deserialize, Serialize};
use tensor_pool::PoolAllocator;

/// `PoolAllocator` with its defaults.
pub static POOL: PoolAllocator = PoolAllocator::new();

/// The usual tuning of glibc's malloc, through environment variables: no block gets its own mapping,
/// freed memory stays in the process, and the heap grows in large increments. 32 MiB is the maximum of
/// the first variable; the others exceed the memory that speech generation uses.
const RAISED: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

/// A measured allocator and its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AllocatorKind {
    /// The system's allocator.
    System,
    /// The system's allocator with raised thresholds.
    SystemRaised,
    /// mimalloc.
    MiMalloc,
    /// `PoolAllocator` with capacity 0, which only counts.
    PoolOff,
    /// `PoolAllocator`.
    Pool,
    /// `PoolAllocator` with huge pages, as in the command-line program.
    PoolHugePages,
}

impl AllocatorKind {
    /// All allocators, in the order of the report.
    pub const ALL: [Self; 6] = [
        Self::System,
        Self::SystemRaised,
        Self::MiMalloc,
        Self::PoolOff,
        Self::Pool,
        Self::PoolHugePages,
    ];

    /// Returns the name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::SystemRaised => "system-raised",
            Self::MiMalloc => "mimalloc",
            Self::PoolOff => "pool-capacity-0",
            Self::Pool => "pool",
            Self::PoolHugePages => "pool-huge-pages",
        }
    }

    /// Sets the environment of a process that runs on this allocator.
    pub fn set_environment(self, command: &mut Command) {
        command.env_remove("GLIBC_TUNABLES");
        for (variable, value) in RAISED {
            match self {
                Self::SystemRaised => command.env(variable, value),
                _ => command.env_remove(variable),
            };
        }
    }

    /// Applies the settings, without allocating.
    pub(super) fn prepare(self) {
        match self {
            Self::PoolOff => POOL.set_capacity(0),
            Self::PoolHugePages => POOL.enable_huge_pages(),
            Self::System | Self::SystemRaised | Self::MiMalloc | Self::Pool => {}
        }
    }

    /// Applies the setting of [`PoolAllocator::install`]: the free memory that malloc retains at the end of
    /// its heap.
    pub(super) fn set_as_installed(self) {
        match self {
            #[cfg(all(target_os = "linux", target_env = "gnu"))]
            Self::Pool | Self::PoolHugePages => {
                // SAFETY: this function may be called at any time and from any thread.
                unsafe {
                    libc::mallopt(libc::M_TRIM_THRESHOLD, 8 << 20);
                }
            }
            _ => {}
        }
    }

    /// Releases free memory to the kernel, as far as the allocator supports it.
    pub(super) fn trim(self) {
        match self {
            Self::System | Self::SystemRaised => {
                #[cfg(all(target_os = "linux", target_env = "gnu"))]
                // SAFETY: this function may be called at any time and from any thread.
                unsafe {
                    libc::malloc_trim(0);
                }
            }
            // SAFETY: this function may be called at any time and from any thread.
            Self::MiMalloc => unsafe { libmimalloc_sys::mi_collect(true) },
            Self::PoolOff | Self::Pool | Self::PoolHugePages => {
                POOL.trim(0);
            }
        }
    }
}
