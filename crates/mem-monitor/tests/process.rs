//! What needs a process of its own: the kernel's high-water mark, and dying by SIGKILL.
//!
//! Each test starts this program again with the name of a part to play.
#![cfg(target_os = "linux")]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, SystemTime},
};

use mem_monitor::{Event, Format, MemoryMonitor, Recorder};

const PART: &str = "MEM_MONITOR_TEST_PART";
/// What a child says at the end, so that one which found no part does not look like a success.
const PLAYED: &str = "the part was played";

/// Plays the part that the environment names, if it names one; of its own it is no test.
#[test]
fn part_of_a_child_process() {
    match env::var(PART).as_deref() {
        Ok("spike") => spike(),
        Ok("reset") => reset(),
        Ok(folder) if Path::new(folder).is_dir() => record_until_killed(Path::new(folder)),
        _ => return,
    }
    println!("{PLAYED}");
}

fn child(part: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "part_of_a_child_process", "--nocapture"])
        .env(PART, part)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn assert_plays(part: &str) {
    let output = child(part).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(PLAYED), "{said}");
}

/// Uses so much for 50 ms.
fn use_for_50_ms(mib: usize) {
    let block = std::hint::black_box(vec![1u8; mib << 20]);
    sleep(Duration::from_millis(50));
    drop(block);
}

#[test]
fn a_spike_of_50_ms_between_two_ticks_is_in_the_peak() {
    assert_plays("spike");
}

fn spike() {
    let monitor = MemoryMonitor::default();
    monitor.start_monitoring().unwrap();
    // The first tick is over and the next one far away.
    let samples = monitor.subscribe(1);
    while monitor.latest().is_none() {
        sleep(Duration::from_millis(1));
    }
    let before = monitor.get_current_memory_usage().unwrap();
    use_for_50_ms(200);
    let peak = monitor.get_peak_memory_usage().unwrap();
    assert!(
        peak >= before + (199 << 20),
        "{before} before, {peak} at most"
    );
    let mut seen = samples.events().try_iter().collect::<Vec<_>>();
    seen.retain(|event| matches!(event, Event::Sample(s) if s.usage_bytes > Some(150 << 20)));
    assert!(seen.is_empty(), "no tick may have seen the spike");
    monitor.stop_monitoring();
    assert!(
        monitor.get_peak_memory_usage() >= Some(peak),
        "stopping forgets nothing"
    );
}

#[test]
fn reset_sets_the_kernels_mark_back_so_that_a_lower_spike_counts() {
    assert_plays("reset");
}

fn reset() {
    use_for_50_ms(300);
    let monitor = MemoryMonitor::default();
    assert!(
        monitor.get_peak_memory_usage() < Some(200 << 20),
        "that was before"
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

/// Records at 10 ms and says of every sample when it was, until somebody ends this.
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
fn a_killed_process_leaves_all_but_the_last_second() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = child(folder.path().to_str().unwrap());
    let mut told = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.split_once("at ")?.1.parse::<f64>().ok());
    let first = told.next().unwrap();
    let enough = told.by_ref().find(|time| *time > first + 2.0);
    assert!(enough.is_some(), "the child ended by itself");
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let last = told.last().or(enough).unwrap();

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
    assert!(memory.len() > 50, "{} samples", memory.len());
    let lost = last - memory.last().unwrap();
    assert!(lost <= 1.0, "{lost} s are lost");

    let csv = std::fs::read_to_string(folder.path().join("memory.csv")).unwrap();
    let fields = csv.lines().next().unwrap().split(',').count();
    let whole = csv.lines().rev().skip(1);
    assert!(whole.clone().count() > 50);
    assert!(
        whole
            .map(|line| line.split(',').count())
            .all(|n| n == fields)
    );
}
