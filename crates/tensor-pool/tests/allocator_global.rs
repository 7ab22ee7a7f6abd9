//! The allocator as the global allocator. Tests of process-wide figures run in child processes.

use std::alloc::System;
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, Once, mpsc};
use std::thread;

use tensor_pool::{
    AllocatorStats, PeakWindow, PoolAllocator, Scope, heap, minor_faults, pressure, seal,
    seal_process,
};

#[global_allocator]
static ALLOCATOR: PoolAllocator<System> = PoolAllocator::with_capacity(256 << 20);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| assert!(ALLOCATOR.install()));
}

/// Runs the test with this name alone in a new process, with the allocator installed.
fn in_child(name: &str, body: fn()) {
    in_new_process(name, || {
        install();
        body();
    });
}

/// Runs the test with this name alone in a new process.
fn in_new_process(name: &str, body: impl FnOnce()) {
    const MARK: &str = "TENSOR_POOL_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Allocates a block and writes to each of its pages.
fn touched(size: usize) -> Vec<u8> {
    black_box(vec![1; size])
}

#[test]
fn heap_returns_the_installed_allocator() {
    install();
    assert!(ALLOCATOR.install(), "installing twice is not an error");
    let stats = heap().unwrap().stats();
    assert!(stats.live_bytes > 0 && stats.live_blocks > 0);
    assert!(!pressure());

    static OTHER: PoolAllocator = PoolAllocator::new();
    assert!(!OTHER.install(), "it is not the global allocator");
}

#[test]
fn scope_counts_only_its_own_thread() {
    install();
    let before = touched(500 * KIB);
    let scope = Scope::new("work");
    let small = touched(100);
    let elsewhere = thread::scope(|threads| {
        let usage = Scope::new("spawning").usage().unwrap();
        assert_eq!(usage.allocations, 0);
        threads
            .spawn(|| drop(touched(7 * MIB)))
            .join()
            .map(|()| touched(MIB))
            .unwrap()
    });
    let inside = scope.usage().unwrap();
    assert!(inside.allocated_bytes >= (MIB + 100) as u64);
    assert!(inside.allocated_bytes < ((2 * MIB) as u64), "{inside:?}");
    drop(elsewhere);
    drop(before);
    let usage = scope.usage().unwrap();
    assert_eq!(
        usage.change_bytes,
        usage.allocated_bytes as i64 - usage.freed_bytes as i64
    );
    assert!(usage.change_bytes < -400 * KIB as i64, "{usage:?}");
    assert!(usage.peak_bytes >= (MIB + 100) as u64);
    assert!(usage.peak_bytes < ((MIB + 100 * KIB) as u64));
    drop(small);
}

#[test]
fn nested_scopes_have_their_own_peaks() {
    install();
    let outer = Scope::new("outer");
    drop(touched(300 * KIB));
    {
        let inner = Scope::new("inner");
        drop(touched(200 * KIB));
        assert_eq!(inner.usage().unwrap().peak_bytes, 200 << 10);
        let third = Scope::new("third");
        assert_eq!(third.usage(), Some(Default::default()));
    }
    assert_eq!(outer.usage().unwrap().peak_bytes, 300 << 10);
    let block = touched(100 * KIB);
    {
        let _inner = Scope::new("inner");
        drop(touched(250 * KIB));
    }
    let usage = outer.usage().unwrap();
    assert_eq!(usage.peak_bytes, 350 << 10);
    assert_eq!((usage.allocations, usage.frees), (4, 3));
    drop(block);
}

#[test]
fn seal_reports_large_requests_of_its_thread_that_missed_the_pool() {
    install();
    // A size in a class that no other test uses.
    let size = 19 * MIB;
    let first = seal();
    let second = seal();
    thread::spawn(|| drop(touched(300 * MIB))).join().unwrap();
    {
        let _outer = Scope::new("decode");
        drop(Scope::new("before"));
        drop(touched(size));
    }
    drop(touched(300 * MIB));
    let report = first.report().unwrap();
    assert_eq!(report.count, 2, "{report}");
    assert_eq!(report.bytes, 319 << 20);
    assert_eq!(
        (report.first[0].size_bytes, report.first[0].scope),
        (19 << 20, Some("decode"))
    );
    assert_eq!(report.first[1].scope, None);
    assert_eq!(
        report.to_string(),
        "2 large requests (319.0 MiB) were not served by the pool: 19.0 MiB in decode, 300.0 MiB"
    );
    drop(first);
    let third = seal();
    drop(touched(size));
    assert!(
        third.report().unwrap().is_empty(),
        "the pool serves the request"
    );
    assert_eq!(
        second.report(),
        Some(report),
        "each seal has its own record"
    );
    for _ in 0..100 {
        // Above the capacity. The pages are not touched.
        drop(black_box(Vec::<u8>::with_capacity(300 * MIB)));
    }
    let report = second.report().unwrap();
    assert_eq!((report.count, report.first.len()), (102, 64));
    assert!(report.to_string().ends_with(", …"));
}

#[test]
fn seal_of_the_process_covers_every_thread() {
    in_child("seal_of_the_process_covers_every_thread", || {
        let own = seal();
        let process = seal_process();
        thread::spawn(|| {
            let _scope = Scope::new("worker");
            drop(touched(3 * MIB));
        })
        .join()
        .unwrap();
        assert!(own.report().unwrap().is_empty());
        let report = process.report().unwrap();
        assert_eq!(report.count, 1, "{report}");
        assert_eq!(report.first[0].scope, Some("worker"));
    });
}

#[test]
fn peak_windows_overlap() {
    in_child("peak_windows_overlap", || {
        let slack = || heap().unwrap().stats().peak_slack_bytes;
        // Includes the bytes that were live at the start, which are few in this process.
        let within = |window: &PeakWindow, mib: u64| {
            let peak = window.peak_bytes().unwrap();
            peak >= (mib << 20) && peak < ((mib + 1) << 20) + slack()
        };
        let all = PeakWindow::new();
        drop(touched(9 * MIB));
        let late = PeakWindow::new();
        thread::spawn(|| drop(touched(5 * MIB))).join().unwrap();
        let last = PeakWindow::new();
        drop(touched(2 * MIB));
        assert!(within(&all, 9), "{all:?}");
        assert!(within(&late, 5), "{late:?}");
        assert!(within(&last, 2), "{last:?}");
        drop(all);
        // Reuses the slot of the first window.
        let again = PeakWindow::new();
        assert!(within(&again, 0), "{again:?}");
    });
}

#[test]
fn peak_windows_opened_and_closed_in_any_order_keep_their_peaks() {
    in_child(
        "peak_windows_opened_and_closed_in_any_order_keep_their_peaks",
        || {
            let mib = |window: &PeakWindow| window.peak_bytes().unwrap() >> 20;
            let first = PeakWindow::new();
            drop(touched(6 * MIB));
            let burst: Vec<_> = (0..500).map(|_| PeakWindow::new()).collect();
            drop(touched(3 * MIB));
            let last = PeakWindow::new();
            drop(touched(MIB));
            assert_eq!((mib(&first), mib(&last)), (6, 1));
            assert!(burst.iter().all(|window| mib(window) == 3));
            drop(first);
            let mut burst = burst.into_iter();
            let kept = burst.nth(250).unwrap();
            drop(burst);
            drop(touched(4 * MIB));
            assert_eq!((mib(&kept), mib(&last)), (4, 4));
            assert_eq!(mib(&PeakWindow::new()), 0);
        },
    );
}

/// The peak of a window includes a block that lives only while other threads open windows.
#[test]
fn concurrent_windows_miss_no_peak() {
    in_child("concurrent_windows_miss_no_peak", || {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        drop((PeakWindow::new(), PeakWindow::new()));
                    }
                });
            }
            let missed = (0..2_000)
                .filter(|_| {
                    let window = PeakWindow::new();
                    drop(black_box(Vec::<u8>::with_capacity(8 * MIB)));
                    window.peak_bytes().unwrap() < 8 << 20
                })
                .count();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(missed, 0);
        });
    });
}

#[test]
fn trim_returns_90_percent_of_retained_bytes_to_the_kernel() {
    in_child(
        "trim_returns_90_percent_of_retained_bytes_to_the_kernel",
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

/// One round of a worker's allocations.
fn frame(scratch_bytes: usize) {
    let first = touched(scratch_bytes);
    let second = touched(scratch_bytes / 2);
    drop(first);
    let third = touched(scratch_bytes);
    drop((second, third));
}

#[test]
fn steady_work_requests_no_memory_from_the_kernel() {
    in_child("steady_work_requests_no_memory_from_the_kernel", || {
        const WORKERS: usize = 4;
        const FRAMES: usize = 100;
        let warm = Barrier::new(WORKERS + 1);
        let sealed = Barrier::new(WORKERS + 1);
        let done = Barrier::new(WORKERS + 1);
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let (warm, sealed, done) = (&warm, &sealed, &done);
                scope.spawn(move || {
                    // Each worker has its own classes, so that workers do not compete for blocks.
                    let scratch_bytes = (256 * KIB) << (2 * worker);
                    frame(scratch_bytes);
                    warm.wait();
                    sealed.wait();
                    for _ in 0..FRAMES {
                        frame(scratch_bytes);
                    }
                    done.wait();
                });
            }
            warm.wait();
            let seal = seal_process();
            let faults = minor_faults();
            sealed.wait();
            done.wait();
            let report = seal.report().unwrap();
            assert!(report.is_empty(), "{report}");
            // Without the pool, the smallest worker alone touches 64 new pages per frame.
            if let (Some(before), Some(after)) = (faults, minor_faults()) {
                assert!(after - before < FRAMES as u64, "{} faults", after - before);
            }
        });
    });
}

/// Runs threads that allocate, grow blocks, send blocks to each other and end.
fn run_short_threads() {
    const THREADS: usize = 8;
    let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(16);
    let receiver = Arc::new(Mutex::new(receiver));
    let threads: Vec<_> = (0..THREADS)
        .map(|index| {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            thread::spawn(move || {
                for step in 0..300 {
                    let size = 1 + (index * 7919 + step * 104_729) % (600 * KIB);
                    let mut block = vec![index as u8; size];
                    block.reserve_exact(size / 3);
                    // If the channel is full, this thread frees the block.
                    let _ = sender.try_send(block);
                    let received = receiver.lock().unwrap().try_recv();
                    if let Ok(block) = received {
                        assert_eq!(block.first(), block.last());
                    }
                }
            })
        })
        .collect();
    // A `thread::scope` ends before the thread-local data of its threads is freed.
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn counts_are_exact_after_many_short_threads() {
    in_child("counts_are_exact_after_many_short_threads", || {
        let in_use =
            |stats: AllocatorStats| (stats.live_bytes, stats.live_blocks, stats.padding_bytes);
        // The first run includes one-time allocations of the standard library.
        run_short_threads();
        let before = ALLOCATOR.stats();
        run_short_threads();
        run_short_threads();
        let after = ALLOCATOR.stats();
        assert_eq!(in_use(after), in_use(before));
        assert!(after.total.count > before.total.count + 2 * 8 * 300);
        assert!(after.from_pool.count > before.from_pool.count);
        ALLOCATOR.set_capacity(0);
        assert_eq!(ALLOCATOR.stats().retained_bytes, 0);
    });
}

#[cfg(unix)]
#[test]
fn child_of_a_fork_during_allocations_can_allocate() {
    in_child("child_of_a_fork_during_allocations_can_allocate", || {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        frame(200 * KIB);
                        drop(black_box(vec![1_u8; 100]));
                    }
                });
            }
            for _ in 0..20 {
                // SAFETY: the child only allocates, which glibc and macOS allow, and exits.
                let child = unsafe { libc::fork() };
                assert!(child >= 0);
                if child == 0 {
                    // SAFETY: no preconditions. The alarm ends the child if it hangs.
                    unsafe { libc::alarm(60) };
                    for _ in 0..20 {
                        frame(200 * KIB);
                        drop(black_box(vec![1_u8; 100]));
                    }
                    ALLOCATOR.set_capacity(0);
                    // SAFETY: no preconditions. Exits without running the parent's destructors and exit handlers.
                    unsafe { libc::_exit(0) };
                }
                let mut status = 0;
                // SAFETY: `status` is a valid, writable `int`.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                assert_eq!(status, 0, "the child hung or crashed");
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn batches_of_small_blocks_cause_no_page_faults() {
    in_child("batches_of_small_blocks_cause_no_page_faults", || {
        // 1.8 MiB in blocks that are too small for the pool.
        let round = || drop((0..30).map(|_| touched(60 * KIB)).collect::<Vec<_>>());
        round();
        let before = minor_faults().unwrap();
        (0..100).for_each(|_| round());
        let faults = minor_faults().unwrap() - before;
        assert!(faults < 100, "{faults} page faults in 100 rounds");
    });
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
        "c_malloc_adjusts_its_thresholds_beside_an_installed_pool",
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
    in_new_process("c_malloc_is_unchanged_by_a_pool_without_capacity", || {
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
    });
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
    in_child("huge_pages_are_requested_if_enabled", || {
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
