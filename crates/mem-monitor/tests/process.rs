//! Tests that need a separate process: the kernel's high-water mark, fork and SIGKILL.
//!
//! Each test runs this program again with the name of a role.
#![cfg(target_os = "linux")]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::sleep,
    time::{Duration, SystemTime},
};

use mem_monitor::{Backing, Category, Error, Event, Format, MemoryMonitor, Recorder};

const ROLE: &str = "MEM_MONITOR_TEST_ROLE";
/// Printed by a child at the end, so that a child without a role does not look like a success.
const COMPLETED: &str = "role completed";

/// Runs the role named by the environment. Without one it tests nothing.
#[test]
fn child_process() {
    match env::var(ROLE).as_deref() {
        Ok("spike") => spike(),
        Ok("reset") => reset(),
        Ok("fork") => fork(),
        Ok(folder) if Path::new(folder).is_dir() => record_until_killed(Path::new(folder)),
        _ => return,
    }
    println!("{COMPLETED}");
}

fn child(role: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn assert_completes(role: &str) {
    let output = child(role).wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains(COMPLETED),
        "{printed}"
    );
}

/// Uses `mib` MiB for 50 ms.
fn use_for_50_ms(mib: usize) {
    let block = std::hint::black_box(vec![1u8; mib << 20]);
    sleep(Duration::from_millis(50));
    drop(block);
}

#[test]
fn peak_includes_a_spike_between_two_ticks() {
    assert_completes("spike");
}

fn spike() {
    let monitor = MemoryMonitor::default();
    monitor.start_monitoring().unwrap();
    // Waits for the first tick; the next one is 5 s later.
    let samples = monitor.subscribe(1);
    while monitor.latest().is_none() {
        sleep(Duration::from_millis(1));
    }
    let before = monitor.get_current_memory_usage().unwrap();
    use_for_50_ms(200);
    let peak = monitor.get_peak_memory_usage().unwrap();
    assert!(peak >= before + (199 << 20), "{before} before, peak {peak}");
    let mut seen = samples.events().try_iter().collect::<Vec<_>>();
    seen.retain(|event| matches!(event, Event::Sample(s) if s.usage_bytes > Some(150 << 20)));
    assert!(seen.is_empty(), "no tick overlaps the spike");
    monitor.stop_monitoring();
    assert!(
        monitor.get_peak_memory_usage() >= Some(peak),
        "stopping keeps the peak"
    );
}

#[test]
fn reset_resets_the_high_water_mark() {
    assert_completes("reset");
}

fn reset() {
    use_for_50_ms(300);
    let monitor = MemoryMonitor::default();
    assert!(
        monitor.get_peak_memory_usage() < Some(200 << 20),
        "the peak before the baseline is not counted"
    );
    monitor.reset();
    use_for_50_ms(100);
    let peak = monitor.get_peak_memory_usage().unwrap();
    let settable = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    if settable {
        assert!(peak >= 100 << 20, "{peak}");
    }
    assert!(peak < 200 << 20, "{peak}");
}

#[test]
fn forked_child_stops_and_drops_what_the_parent_started() {
    assert_completes("fork");
}

/// Far longer than a child takes, even on a loaded machine.
const CHILD_SECONDS: u32 = 120;

/// Forks while other threads hold the monitor's locks, and checks that no child hangs or panics.
fn fork() {
    let folder = tempfile::tempdir().unwrap();
    let monitor = MemoryMonitor::new(Duration::from_millis(1)).unwrap();
    monitor.start_monitoring().unwrap();
    let recorder = Recorder::mprof(&monitor, folder.path()).unwrap();
    let subscription = monitor.subscribe(2);
    let category = Category::new("table", Backing::Heap, || Some(1));
    let registration = monitor.register_category(category);
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !finished.load(Relaxed) {
                monitor.sample();
                monitor.breakdown();
                monitor.subscribe(1);
            }
        });
        let ended: Vec<i32> = (0..24)
            .map(|i| exit_status(|| in_child(&monitor, i)))
            .collect();
        finished.store(true, Relaxed);
        assert_eq!(ended, [0; 24]);
    });
    // The same values, dropped in a child.
    // SAFETY: `fork` has no preconditions. The child runs code that needs no other thread, and `_exit`.
    match unsafe { libc::fork() } {
        0 => exit_child(move || {
            drop(subscription);
            drop(registration);
            drop(recorder);
            drop(monitor);
        }),
        child => {
            assert_eq!(wait_for(child), 0);
            drop((subscription, registration));
            let path = recorder.path().to_owned();
            recorder.finish().unwrap();
            monitor.stop_monitoring();
            let text = std::fs::read_to_string(path).unwrap();
            let times: Vec<f64> = text
                .lines()
                .filter_map(|line| line.strip_prefix("MEM ")?.split_once(' ')?.1.parse().ok())
                .collect();
            assert!(
                times.len() > 24 && times.is_sorted(),
                "no child has written"
            );
        }
    }
}

/// Uses the parent's monitor in its child.
fn in_child(monitor: &MemoryMonitor, i: usize) {
    assert!(!monitor.is_monitoring());
    monitor.stop_monitoring();
    assert!(matches!(monitor.start_monitoring(), Err(Error::Forked)));
    let recorder = Recorder::create(monitor, Format::Csv, "/nowhere/a.csv");
    assert!(matches!(recorder, Err(Error::Forked)));

    let before = monitor.get_current_memory_usage().unwrap();
    let block = std::hint::black_box(vec![1u8; 16 << 20]);
    let after = monitor.get_current_memory_usage().unwrap();
    assert!(after > before + (12 << 20), "the usage is the child's");
    drop(block);

    if i.is_multiple_of(8) {
        let own = MemoryMonitor::new(Duration::from_millis(1)).unwrap();
        let samples = own.subscribe(1);
        own.start_monitoring().unwrap();
        samples.events().recv().unwrap();
        own.stop_monitoring();
    }
}

/// Runs `child` in a forked child and returns its exit status.
fn exit_status(child: impl FnOnce()) -> i32 {
    // SAFETY: `fork` has no preconditions. The child runs code that needs no other thread, and `_exit`.
    match unsafe { libc::fork() } {
        0 => exit_child(child),
        id => wait_for(id),
    }
}

/// Runs `work` and ends the process: with 0, or 1 after a panic.
fn exit_child(work: impl FnOnce()) -> ! {
    // SAFETY: `alarm` only sets a timer, whose signal ends a process that hangs.
    unsafe { libc::alarm(CHILD_SECONDS) };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    // SAFETY: `_exit` ends the process without running code of the test harness.
    unsafe { libc::_exit(result.is_err().into()) }
}

/// Waits for a child and returns its status: 0 if it ended without a panic or signal.
fn wait_for(child: libc::pid_t) -> i32 {
    assert!(child > 0, "fork failed");
    let mut status = 0;
    // SAFETY: the pointer is valid for the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status
}

/// Records at 10 ms and prints the time of every sample until it is killed.
fn record_until_killed(folder: &Path) {
    let monitor = MemoryMonitor::new(Duration::from_millis(10)).unwrap();
    let _mprof = Recorder::mprof(&monitor, folder).unwrap();
    let _csv = Recorder::create(&monitor, Format::Csv, folder.join("memory.csv")).unwrap();
    let samples = monitor.subscribe(1000);
    monitor.start_monitoring().unwrap();
    let mut out = std::io::stdout();
    for event in samples.events() {
        if let Event::Sample(sample) = event {
            let time = sample.time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            writeln!(out, "at {:.4}", time.as_secs_f64()).unwrap();
            out.flush().unwrap();
        }
    }
}

#[test]
fn killed_process_loses_at_most_the_last_second() {
    // A recorder that does not get the processor for half a second flushes late.
    let lost_less = (0..5).any(|_| lost_seconds() <= 1.0);
    assert!(lost_less, "five recordings lost more than a second");
}

/// Kills a recording process and returns the time between its last sample and the last one in the file.
fn lost_seconds() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut child = child(folder.path().to_str().unwrap());
    let mut times = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.split_once("at ")?.1.parse::<f64>().ok());
    let first = times.next().unwrap();
    let enough = times.by_ref().find(|time| *time > first + 2.0);
    assert!(enough.is_some(), "the child ended on its own");
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let last = times.last().or(enough).unwrap();

    let recording = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "dat"))
        .unwrap();
    let text = std::fs::read_to_string(recording).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("CMDLINE "));
    let memory: Vec<f64> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("MEM ")?.split_once(' ')?.1.parse().ok())
        .collect();
    assert!(memory.len() > 10, "{} samples", memory.len());

    let csv = std::fs::read_to_string(folder.path().join("memory.csv")).unwrap();
    let fields = csv.lines().next().unwrap().split(',').count();
    let complete = csv.lines().rev().skip(1);
    assert!(complete.clone().count() > 10);
    assert!(
        complete
            .map(|line| line.split(',').count())
            .all(|n| n == fields)
    );
    last - memory.last().unwrap()
}
