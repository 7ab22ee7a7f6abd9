//! What the operating system knows and does.

/// Page faults of this process that were served without reading from a disk, so far: mostly first
/// touches of fresh memory, each some tenths of a microsecond. `None` where the system does not
/// say (`getrusage` does on Unix).
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
        // SAFETY: `getrusage` has written all of it where it returns 0.
        done.then(|| unsafe { usage.assume_init() }.ru_minflt as u64)
    }
    #[cfg(not(unix))]
    None
}

/// Lets the system's allocator give free pages back to the kernel, where it has a call for that.
pub(super) fn give_back_free_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: callable at any time; it takes malloc's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets the system's allocator keep that much free memory at the end of a heap, where it has a call for
/// that and the user did not choose otherwise.
pub(super) fn raise_trim_threshold(bytes: i32) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_TRIM_THRESHOLD_").is_none() {
        // SAFETY: callable at any time; it takes malloc's own locks.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = bytes;
}

/// Asks for huge pages where a block is at least as large as one. Neighbouring blocks that were
/// advised alike become one area, so every whole page of the block is named, not only whole huge ones.
pub(super) fn advise_huge_pages(block: *mut u8, size: usize) {
    #[cfg(target_os = "linux")]
    {
        /// Of most machines; where they are larger, less is gained and nothing lost.
        const HUGE_PAGE: usize = 2 << 20;
        /// The largest that Linux has on a supported machine: whole ones are whole at any size.
        const PAGE: usize = 64 << 10;
        if block.is_null() || size < HUGE_PAGE {
            return;
        }
        let skipped = block.align_offset(PAGE);
        let length = size.saturating_sub(skipped) / PAGE * PAGE;
        // SAFETY: the range lies within the block, which is the caller's; the advice changes nothing
        // that it holds. An error means that the kernel has no huge pages.
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
