//! Functions of the operating system.

/// Returns the number of minor page faults of this process so far, which are served without disk
/// reads. Most are first accesses to new memory and take a few tenths of a microsecond each.
/// Returns `None` if the system does not report them (Unix does, with `getrusage`).
///
/// ```
/// if let Some(before) = tensor_pool::minor_faults() {
///     std::hint::black_box(vec![1_u8; 1 << 20]);
///     assert!(tensor_pool::minor_faults().unwrap() >= before);
/// }
/// ```
#[must_use]
pub fn minor_faults() -> Option<u64> {
    #[cfg(unix)]
    {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: the pointer is to a `rusage`, which `getrusage` writes.
        let done = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } == 0;
        // SAFETY: `getrusage` has initialized the value if it returns 0.
        done.then(|| unsafe { usage.assume_init() }.ru_minflt as u64)
    }
    #[cfg(not(unix))]
    None
}

/// Returns free pages of the system allocator to the kernel, if there is a function for it.
pub(super) fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: may be called at any time; the function takes malloc's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Returns the whole pages of a block to the kernel. The content of the block is lost: the next
/// access to such a page reads zeros.
///
/// # Safety
/// The caller must own the block, which is `size` bytes long.
pub(super) unsafe fn discard_pages(block: *mut u8, size: usize) {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).unwrap_or(0);
        if !page.is_power_of_two() {
            return;
        }
        let skipped = block.align_offset(page);
        let length = size.saturating_sub(skipped) / page * page;
        // SAFETY: the range is within the block, which the caller owns. An
        // error (locked memory) means that the pages stay.
        unsafe {
            libc::madvise(
                block.wrapping_add(skipped).cast(),
                length,
                libc::MADV_DONTNEED,
            );
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (block, size);
}

/// Requests huge pages for a block that is at least as large as one. The kernel merges adjacent
/// areas with the same advice, so the range covers all whole pages of the block, not only whole
/// huge pages.
pub(super) fn advise_huge_pages(block: *mut u8, size: usize) {
    #[cfg(target_os = "linux")]
    {
        /// The huge-page size of most machines. Where it is larger, the benefit is smaller and
        /// nothing is lost.
        const HUGE_PAGE: usize = 2 << 20;
        /// The largest page size of Linux on supported machines. A multiple of it is a multiple of
        /// every smaller page size.
        const PAGE: usize = 64 << 10;
        if block.is_null() || size < HUGE_PAGE {
            return;
        }
        let skipped = block.align_offset(PAGE);
        let length = size.saturating_sub(skipped) / PAGE * PAGE;
        // SAFETY: the range is within the block, which the caller owns, and the advice does not
        // change its content. An error means that the kernel has no huge pages.
        unsafe {
            libc::madvise(
                block.wrapping_add(skipped).cast(),
                length,
                libc::MADV_HUGEPAGE,
            );
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (block, size);
}
