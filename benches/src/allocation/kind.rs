//! The allocators that are compared.

use std::process::Command;

use serde::{Deserialize, Serialize};
use tensor_pool::PoolAllocator;

use crate::Result;

/// Ours, as it comes unless told otherwise.
pub static POOL: PoolAllocator = PoolAllocator::new();

/// What an expert raises first, as glibc's malloc reads it from the environment: no block gets a
/// mapping of its own, memory stays with the process when it is freed, and the heap grows in large
/// steps. 32 MiB is the most that the first may be; the others are beyond what speech needs.
const RAISED: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

/// An allocator that is measured, and how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AllocatorKind {
    /// The system's.
    System,
    /// The system's, with its thresholds raised.
    SystemRaised,
    /// Microsoft's.
    MiMalloc,
    /// Ours, counting only.
    PoolOff,
    /// Ours.
    Pool,
    /// Ours, with huge pages, as the program sets it.
    PoolHugePages,
}

impl AllocatorKind {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 6] = [
        Self::System,
        Self::SystemRaised,
        Self::MiMalloc,
        Self::PoolOff,
        Self::Pool,
        Self::PoolHugePages,
    ];

    /// Its name in reports.
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

    /// The allocator of a name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn named(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("no allocator to measure is called {name:?}").into())
    }

    /// The environment that goes with it, whatever this process's own says.
    pub fn set_environment(self, command: &mut Command) {
        command.env_remove("GLIBC_TUNABLES");
        for (variable, value) in RAISED {
            match self {
                Self::SystemRaised => command.env(variable, value),
                _ => command.env_remove(variable),
            };
        }
    }

    /// Sets it up. Allocates nothing.
    pub(super) fn prepare(self) {
        match self {
            Self::PoolOff => POOL.set_capacity(0),
            Self::PoolHugePages => POOL.set_huge_pages(true),
            Self::System | Self::SystemRaised | Self::MiMalloc | Self::Pool => {}
        }
    }

    /// Sets what [`PoolAllocator::install`] sets, which is for processes that live on it: what malloc
    /// keeps free at the end of its heap.
    pub(super) fn set_as_installed(self) {
        match self {
            #[cfg(all(target_os = "linux", target_env = "gnu"))]
            Self::Pool | Self::PoolHugePages => {
                // SAFETY: it may be called at any time and by any thread.
                unsafe {
                    libc::mallopt(libc::M_TRIM_THRESHOLD, 8 << 20);
                }
            }
            _ => {}
        }
    }

    /// Gives back to the kernel what can be given back, each in its own way.
    pub(super) fn trim(self) {
        match self {
            Self::System | Self::SystemRaised => {
                #[cfg(all(target_os = "linux", target_env = "gnu"))]
                // SAFETY: it may be called at any time and by any thread.
                unsafe {
                    libc::malloc_trim(0);
                }
            }
            // SAFETY: it may be called at any time and by any thread.
            Self::MiMalloc => unsafe { libmimalloc_sys::mi_collect(true) },
            Self::PoolOff | Self::Pool | Self::PoolHugePages => {
                POOL.trim(0);
            }
        }
    }
}
