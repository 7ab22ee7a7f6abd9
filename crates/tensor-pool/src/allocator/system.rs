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
