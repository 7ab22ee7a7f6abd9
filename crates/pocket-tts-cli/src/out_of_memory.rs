//! What happens when the system refuses memory.
//!
//! Work is admitted within the system's limits before it starts, so this is for what is not planned: another
//! process, or memory of a library.

use std::alloc::Layout;

use anyhow::{Result, bail};
use bytesize::ByteSize;
use pocket_tts::memory::{self, PoolAllocator};

/// Memory that a command needs before it knows how much the model and the speech need: to read its files'
/// headers and the tokenizer. In a control group, the kernel ends the program without a message if there is
/// less.
const ROOM_BYTES: u64 = 2 << 20;

const MESSAGE: &str = "error: out of memory: the system refused an allocation; free memory, or raise the limit that \
     applies to this program (`ulimit -v`, `ulimit -d`, or that of its container)\n";

/// Makes the program end with a message and exit code 1 when an allocation fails, instead of an abort.
pub(crate) fn end_with_message(allocator: &PoolAllocator) {
    // Fails only if a function is set already, and this is the only one.
    let _ = allocator.set_out_of_memory_hook(end);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    share_arena();
}

/// Checks that a command can start within the operating system's limits.
///
/// # Errors
///
/// There is almost no memory left.
pub(crate) fn check_room() -> Result<()> {
    if let Some(system) = memory::get_memory_ledger()
        .limit(None)
        .and_then(|limit| limit.system)
        && system.left_bytes() < ROOM_BYTES
    {
        bail!(
            "out of memory: {} are left to start with, and the limit is {system}: raise it (`ulimit -v`, \
             `ulimit -d`, or the limit of the container)",
            ByteSize::b(system.left_bytes())
        );
    }
    Ok(())
}

/// Prints the message and ends the process. Allocates nothing, and runs no destructors.
fn end(_: Layout) {
    #[cfg(unix)]
    // SAFETY: the pointer and the length are those of the message; both functions may be called at any
    // time.
    unsafe {
        libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::_exit(1);
    }
    #[cfg(not(unix))]
    {
        use std::io::Write;
        let _ = std::io::stderr().write_all(MESSAGE.as_bytes());
        std::process::exit(1);
    }
}

/// Lets all threads allocate from one arena if the address space is limited. Glibc's malloc otherwise
/// reserves 64 MiB of address space for each of the first threads, whatever is left for stacks and blocks
/// then.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn share_arena() {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the pointer is valid for the duration of the call.
    let is_known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } == 0;
    let is_limited = is_known && limit.rlim_cur != libc::RLIM_INFINITY;
    if is_limited && std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        // SAFETY: may be called at any time; the function takes malloc's own locks.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}
