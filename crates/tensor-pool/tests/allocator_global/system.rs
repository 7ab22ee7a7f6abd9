//! Memory of the kernel and of malloc: page faults, trimming and huge pages.

use std::hint::black_box;

use tensor_pool::minor_faults;

use crate::{ALLOCATOR, KIB, MIB, in_child, in_new_process, install, touched};

#[test]
fn trim_returns_90_percent_of_retained_bytes_to_the_kernel() {
    in_child(
        "system::trim_returns_90_percent_of_retained_bytes_to_the_kernel",
        || {
            if resident_bytes().is_none() {
                return;
            }
            trims("mixed", || {
                let sizes = [64 * KIB, 100 * KIB, 300 * KIB, MIB, 3 * MIB, 20 * MIB];
                drop((0..8).flat_map(|_| sizes.map(touched)).collect::<Vec<_>>());
            });
            // Blocks in glibc's heap between live small blocks. Only `malloc_trim` returns these pages.
            if !cfg!(target_env = "gnu") {
                return;
            }
            let mut small: Vec<Box<[u8; 100]>> = Vec::with_capacity(1000);
            trims("between live blocks", || {
                let block = || {
                    small.push(Box::new([1; 100]));
                    touched(64 * KIB)
                };
                drop(std::iter::repeat_with(block).take(120).collect::<Vec<_>>());
            });
        },
    );
}

/// Asserts that `trim` returns the blocks that `work` leaves in the pool to the kernel.
fn trims(name: &str, work: impl FnOnce()) {
    let start = resident_bytes().unwrap();
    work();
    let retained = ALLOCATOR.stats().retained_bytes;
    assert!(retained > 7 << 20);
    let before = resident_bytes().unwrap();
    assert!(
        before - start > retained * 8 / 10,
        "the retained pages are resident"
    );
    let freed = ALLOCATOR.trim(0);
    assert_eq!(freed, retained);
    let after = resident_bytes().unwrap();
    assert!(
        before.saturating_sub(after) >= retained * 9 / 10,
        "{name}: {retained} retained, resident {before} before, {after} after"
    );
}

/// Returns the resident set of this process, or `None` if the system does not report it.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: no preconditions.
    #[cfg(unix)]
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    #[cfg(not(unix))]
    let page_bytes = 4096;
    Some(pages * page_bytes)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn batches_of_small_blocks_cause_no_page_faults() {
    in_child(
        "system::batches_of_small_blocks_cause_no_page_faults",
        || {
            // 1.8 MiB in blocks that are too small for the pool.
            let round = || drop((0..30).map(|_| touched(60 * KIB)).collect::<Vec<_>>());
            round();
            let before = minor_faults().unwrap();
            (0..100).for_each(|_| round());
            let faults = minor_faults().unwrap() - before;
            assert!(faults < 100, "{faults} page faults in 100 rounds");
        },
    );
}

/// Returns the page faults of 20 rounds in which C code allocates a block, touches it and frees it. The
/// first round is not counted, because malloc adjusts its thresholds when it frees a large block.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn faults_of_c_code(size: usize) -> u64 {
    let round = || {
        // SAFETY: the block is at least `size` bytes long and freed once.
        unsafe {
            let block = libc::malloc(size).cast::<u8>();
            assert!(!block.is_null());
            for offset in (0..size).step_by(4 * KIB) {
                block.add(offset).write_volatile(1);
            }
            libc::free(black_box(block).cast());
        }
    };
    round();
    round();
    let before = minor_faults().unwrap();
    (0..20).for_each(|_| round());
    minor_faults().unwrap() - before
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn c_malloc_adjusts_its_thresholds_beside_an_installed_pool() {
    in_child(
        "system::c_malloc_adjusts_its_thresholds_beside_an_installed_pool",
        || {
            for size in [MIB, 16 * MIB] {
                let faults = faults_of_c_code(size);
                assert!(faults < 20, "{faults} page faults in 20 blocks of {size}");
            }
            // A block that the pool releases to malloc.
            drop(touched(20 * MIB));
            ALLOCATOR.set_capacity(0);
            for size in [MIB, 16 * MIB] {
                let faults = faults_of_c_code(size);
                assert!(faults < 20, "{faults} page faults at capacity 0");
            }
        },
    );
}

/// The trim threshold of malloc is 128 KiB until a large block is freed: rounds of 1.8 MiB in small
/// blocks fault in a program without a pool, and also beside a pool that retains nothing.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn c_malloc_is_unchanged_by_a_pool_without_capacity() {
    in_new_process(
        "system::c_malloc_is_unchanged_by_a_pool_without_capacity",
        || {
            ALLOCATOR.set_capacity(0);
            let round = || drop((0..30).map(|_| touched(60 * KIB)).collect::<Vec<_>>());
            let faults = || {
                let before = minor_faults().unwrap();
                (0..20).for_each(|_| round());
                minor_faults().unwrap() - before
            };
            let before = faults();
            install();
            let after = faults();
            assert!(
                after * 2 > before,
                "{before} page faults before, {after} after"
            );
        },
    );
}

/// Whether the mapping that contains an address has a flag of `/proc/self/smaps`.
#[cfg(target_os = "linux")]
fn has_flag(address: usize, flag: &str) -> bool {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    for line in smaps.lines() {
        let range = line
            .split_once(' ')
            .and_then(|(range, _)| range.split_once('-'));
        let bound = |text| usize::from_str_radix(text, 16);
        if let Some((Ok(start), Ok(end))) = range.map(|(start, end)| (bound(start), bound(end))) {
            inside = (start..end).contains(&address);
        } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
            return flags.split_whitespace().any(|found| found == flag);
        }
    }
    false
}

#[cfg(target_os = "linux")]
#[test]
fn huge_pages_are_requested_if_enabled() {
    in_child("system::huge_pages_are_requested_if_enabled", || {
        // A kernel without transparent huge pages does not report the flag.
        let supported = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        let advised = |block: &Vec<u8>| has_flag(block.as_ptr() as usize + block.len() / 2, "hg");
        assert!(!advised(&touched(8 * MIB)));
        ALLOCATOR.enable_huge_pages();
        let mut block = touched(9 * MIB);
        assert_eq!(advised(&block), supported);
        assert_eq!(advised(&touched(40 * MIB)), supported);
        // Resized by the inner allocator.
        block.reserve_exact(2 * MIB);
        block.resize(11 * MIB, 1);
        assert_eq!(advised(&block), supported);
        ALLOCATOR.disable_huge_pages();
        assert!(!advised(&touched(50 * MIB)));
    });
}
