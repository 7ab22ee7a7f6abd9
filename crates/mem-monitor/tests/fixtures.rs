//! Sources on recorded `/proc` and `/sys` trees: control groups, pressure, high-water mark.
#![cfg(target_os = "linux")]

use std::{fs, path::Path, time::Duration};

use mem_monitor::{
    CgroupSource, LimitOrigin, MemoryMonitor, Metric, PressureSource, Reading, Source,
};
use tempfile::TempDir;

const V2_MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

/// Creates a root folder with files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(root.path(), path, text);
    }
    root
}

fn write(root: &Path, path: &str, text: &str) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn cgroup(root: &TempDir) -> Reading {
    let mut reading = Reading::default();
    CgroupSource::new(root.path()).read(&mut reading);
    reading
}

fn mib(mib: u64) -> Option<u64> {
    Some(mib << 20)
}

/// A `/proc/self/smaps_rollup` with these lines.
fn rollup(lines: &str) -> String {
    format!("55d0c0de0000-7ffe5b3f1000 ---p 00000000 00:00 0    [rollup]\n{lines}")
}

fn bytes_of(mib: u64) -> String {
    format!("{}\n", mib << 20)
}

#[test]
fn cgroup_v2_has_charge_peak_and_both_limits() {
    let root = tree(&[
        ("proc/self/cgroup", "0::/app\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/app/memory.current", &bytes_of(300)),
        ("sys/fs/cgroup/app/memory.peak", &bytes_of(450)),
        ("sys/fs/cgroup/app/memory.max", &bytes_of(1000)),
        ("sys/fs/cgroup/app/memory.high", &bytes_of(800)),
        (
            "sys/fs/cgroup/app/memory.stat",
            &format!("anon 5\ninactive_file {}", bytes_of(100)),
        ),
    ]);
    let reading = cgroup(&root);
    assert_eq!(reading.bytes(Metric::CgroupCurrent), mib(300));
    assert_eq!(reading.bytes(Metric::CgroupPeak), mib(450));
    assert_eq!(reading.bytes(Metric::CgroupMax), mib(1000));
    assert_eq!(reading.bytes(Metric::CgroupHigh), mib(800));
    let limit = reading.cgroup_limit.unwrap();
    assert_eq!(limit.limit_bytes, 800 << 20);
    assert_eq!(
        limit.used_bytes,
        mib(200),
        "droppable page cache is not counted"
    );
    assert_eq!(
        limit.origin,
        LimitOrigin::CgroupHigh(Path::new("/sys/fs/cgroup/app/memory.high").into())
    );
}

#[test]
fn smallest_limit_of_all_ancestors_applies_with_its_charge() {
    let root = tree(&[
        ("proc/self/cgroup", "0::/slice/pod/container\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/slice/memory.max", &bytes_of(4000)),
        ("sys/fs/cgroup/slice/memory.current", &bytes_of(3000)),
        ("sys/fs/cgroup/slice/pod/memory.max", &bytes_of(500)),
        ("sys/fs/cgroup/slice/pod/memory.current", &bytes_of(400)),
        ("sys/fs/cgroup/slice/pod/container/memory.max", "max\n"),
        ("sys/fs/cgroup/slice/pod/container/memory.high", "max\n"),
        (
            "sys/fs/cgroup/slice/pod/container/memory.current",
            &bytes_of(70),
        ),
    ]);
    let reading = cgroup(&root);
    assert_eq!(reading.bytes(Metric::CgroupCurrent), mib(70));
    assert_eq!(reading.bytes(Metric::CgroupMax), mib(500));
    assert_eq!(reading.bytes(Metric::CgroupHigh), None);
    let limit = reading.cgroup_limit.unwrap();
    assert_eq!((limit.limit_bytes, limit.used_bytes), (500 << 20, mib(400)));
}

#[test]
fn group_without_memory_controller_is_charged_to_its_parent() {
    let root = tree(&[
        ("proc/self/cgroup", "0::/app/leaf\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/app/memory.current", &bytes_of(9)),
        ("sys/fs/cgroup/app/memory.max", &bytes_of(90)),
        ("sys/fs/cgroup/app/leaf/cgroup.procs", "1\n"),
    ]);
    let reading = cgroup(&root);
    assert_eq!(reading.bytes(Metric::CgroupCurrent), mib(9));
    assert_eq!(reading.bytes(Metric::CgroupMax), mib(90));
}

#[test]
fn cgroup_v1_reads_hierarchical_limits_and_unlimited_values() {
    let v1 = |limit: &str, hierarchical: &str| {
        cgroup(&tree(&[
            ("proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/abc\n"),
            // Inside a container, the group itself is the root of the mount.
            (
                "proc/self/mountinfo",
                "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
            ),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", &bytes_of(50)),
            (
                "sys/fs/cgroup/memory/memory.max_usage_in_bytes",
                &bytes_of(60),
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", limit),
            (
                "sys/fs/cgroup/memory/memory.stat",
                &format!(
                    "hierarchical_memory_limit {hierarchical}\ntotal_inactive_file {}",
                    bytes_of(10)
                ),
            ),
        ]))
    };
    let unlimited = "9223372036854771712\n";
    let reading = v1(&bytes_of(100), unlimited);
    assert_eq!(reading.bytes(Metric::CgroupCurrent), mib(50));
    assert_eq!(reading.bytes(Metric::CgroupPeak), mib(60));
    assert_eq!(reading.bytes(Metric::CgroupMax), mib(100));
    assert_eq!(reading.cgroup_limit.unwrap().used_bytes, mib(40));
    assert_eq!(
        v1(unlimited, &bytes_of(80)).bytes(Metric::CgroupMax),
        mib(80)
    );
    let reading = v1(unlimited, unlimited);
    assert_eq!(reading.bytes(Metric::CgroupMax), None);
    assert_eq!(reading.cgroup_limit, None);
}

#[test]
fn hybrid_system_has_memory_in_v1_and_pressure_in_v2() {
    let root = tree(&[
        (
            "proc/self/cgroup",
            "9:name=systemd:/\n4:memory:/outer/inner\n0::/unified\n",
        ),
        (
            "proc/self/mountinfo",
            "35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
             34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        ),
        (
            "sys/fs/cgroup/memory/outer/memory.limit_in_bytes",
            &bytes_of(70),
        ),
        (
            "sys/fs/cgroup/memory/outer/memory.usage_in_bytes",
            &bytes_of(20),
        ),
        (
            "sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes",
            &bytes_of(200),
        ),
        (
            "sys/fs/cgroup/memory/outer/inner/memory.usage_in_bytes",
            &bytes_of(10),
        ),
        (
            "sys/fs/cgroup/unified/unified/memory.pressure",
            "some avg10=12.50 avg60=1.00 avg300=0.10 total=7000000\n",
        ),
        (
            "proc/pressure/memory",
            "some avg10=0.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=1\n",
        ),
    ]);
    let mut reading = cgroup(&root);
    assert_eq!(reading.bytes(Metric::CgroupCurrent), mib(10));
    assert_eq!(reading.bytes(Metric::CgroupMax), mib(70));
    PressureSource::new(root.path()).read(&mut reading);
    let some = reading.cgroup_pressure.unwrap().some.unwrap();
    assert_eq!(
        (some.avg10_percent, some.total),
        (12.5, Duration::from_secs(7))
    );
    assert_eq!(reading.cgroup_pressure.unwrap().full, None);
    assert_eq!(reading.pressure.unwrap().full.unwrap().avg10_percent, 0.25);
}

#[test]
fn group_outside_its_namespace_is_read_at_the_mount_point() {
    let root = tree(&[
        ("proc/self/cgroup", "0::/../../elsewhere\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/memory.current", &bytes_of(5)),
        ("sys/fs/cgroup/memory.max", &bytes_of(50)),
        // The path would lead here, outside the hierarchy.
        ("sys/elsewhere/memory.max", &bytes_of(7)),
    ]);
    assert_eq!(cgroup(&root).bytes(Metric::CgroupMax), mib(50));
}

#[test]
fn mount_point_with_blanks_is_found() {
    let root = tree(&[
        ("proc/self/cgroup", "0::/\n"),
        (
            "proc/self/mountinfo",
            "30 23 0:26 / /sys/my\\040groups rw - cgroup2 cgroup2 rw\n",
        ),
        ("sys/my groups/memory.current", &bytes_of(5)),
    ]);
    assert_eq!(cgroup(&root).bytes(Metric::CgroupCurrent), mib(5));
}

#[test]
fn mount_that_contains_the_group_is_preferred() {
    let root = tree(&[
        ("proc/self/cgroup", "0::/b\n"),
        (
            "proc/self/mountinfo",
            "30 23 0:26 /a /first rw - cgroup2 cgroup2 rw\n31 23 0:26 / /second rw - cgroup2 cgroup2 rw\n",
        ),
        ("first/memory.max", &bytes_of(1)),
        ("second/b/memory.max", &bytes_of(2)),
    ]);
    assert_eq!(cgroup(&root).bytes(Metric::CgroupMax), mib(2));
}

#[test]
fn empty_or_broken_tree_is_unknown() {
    let broken = tree(&[
        ("proc/self/cgroup", "nonsense\n4:memory\n0::\n"),
        (
            "proc/self/mountinfo",
            "1 2 3\n - cgroup2\n30 23 0:26 / /m rw - cgroup2 c rw\n",
        ),
        ("m/memory.max", "many\n"),
        ("proc/self/statm", "x y z"),
        ("proc/self/status", "VmHWM: lots\n"),
        ("proc/pressure/memory", "some\n"),
    ]);
    for root in [tempfile::tempdir().unwrap(), broken] {
        let monitor = MemoryMonitor::builder().root(root.path()).build().unwrap();
        assert_eq!(monitor.sample().reading, Reading::default());
        assert_eq!(monitor.get_current_memory_usage(), None);
        assert_eq!(monitor.get_peak_memory_usage(), None);
        assert_eq!(monitor.effective_limit(), None);
    }
}

#[test]
fn status_and_rollup_are_read_under_the_root() {
    let root = tree(&[
        (
            "proc/self/status",
            "VmHWM:\t  2048 kB\nRssFile:\t    512 kB\n",
        ),
        (
            "proc/self/smaps_rollup",
            &rollup("Rss: 9 kB\nPss:   1024 kB\n"),
        ),
        ("proc/self/statm", "100 10 5 1 0 4 0\n"),
    ]);
    let monitor = MemoryMonitor::builder().root(root.path()).build().unwrap();
    let reading = &monitor.sample().reading;
    assert_eq!(reading.bytes(Metric::RssHighWater), mib(2));
    assert_eq!(reading.bytes(Metric::RssFile), Some(512 << 10));
    assert_eq!(reading.bytes(Metric::Pss), mib(1));
    assert_eq!(
        monitor.get_current_memory_usage(),
        reading.bytes(Metric::Rss)
    );
    assert!(reading.bytes(Metric::Virtual) > reading.bytes(Metric::Rss));

    let monitor = MemoryMonitor::builder()
        .root(root.path())
        .without_pss()
        .build()
        .unwrap();
    assert_eq!(monitor.sample().reading.bytes(Metric::Pss), None);
}

#[test]
fn pss_is_read_at_most_once_a_second() {
    let root = tree(&[("proc/self/smaps_rollup", &rollup("Pss: 1 kB\n"))]);
    let monitor = MemoryMonitor::builder().root(root.path()).build().unwrap();
    let first = monitor.sample();
    write(
        root.path(),
        "proc/self/smaps_rollup",
        &rollup("Pss: 2 kB\n"),
    );
    let second = monitor.sample();
    // Unless the test was paused for most of a second, the first value is reused.
    if second.elapsed - first.elapsed < Duration::from_millis(900) {
        assert_eq!(second.reading.bytes(Metric::Pss), Some(1 << 10));
    }
    monitor.reset();
    assert_eq!(monitor.sample().reading.bytes(Metric::Pss), Some(2 << 10));
}

#[test]
fn high_water_mark_counts_from_the_baseline_and_reset_moves_it() {
    let status = |kib: u64| format!("VmHWM:\t{kib} kB\n");
    let root = tree(&[
        ("proc/self/status", &status(5000)),
        ("proc/self/statm", "100 10 0 0 0 0 0\n"),
        ("proc/self/clear_refs", ""),
    ]);
    let monitor = MemoryMonitor::builder().root(root.path()).build().unwrap();
    let rss = monitor.get_current_memory_usage();
    assert_eq!(
        monitor.get_peak_memory_usage(),
        rss,
        "5000 KiB is the baseline"
    );
    write(root.path(), "proc/self/status", &status(6000));
    assert_eq!(monitor.get_peak_memory_usage(), Some(6000 << 10));
    monitor.reset();
    let asked = fs::read_to_string(root.path().join("proc/self/clear_refs")).unwrap();
    assert_eq!(asked, "5");
    assert_eq!(monitor.get_peak_memory_usage(), rss);
}

#[test]
fn machine_memory_is_read_under_the_root() {
    let meminfo = "MemTotal: 4096 kB\nMemFree: 1 kB\nBuffers: 1 kB\nCached: 1 kB\nSwapCached: 0 kB\n\
                   Active: 0 kB\nInactive: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nDirty: 0 kB\n\
                   Writeback: 0 kB\nMapped: 0 kB\nSlab: 0 kB\nCommitted_AS: 0 kB\nVmallocTotal: 0 kB\n\
                   VmallocUsed: 0 kB\nVmallocChunk: 0 kB\nMemAvailable: 3072 kB\n";
    let root = tree(&[("proc/meminfo", meminfo)]);
    let monitor = MemoryMonitor::builder().root(root.path()).build().unwrap();
    let reading = &monitor.sample().reading;
    assert_eq!(reading.bytes(Metric::MachineTotal), mib(4));
    assert_eq!(reading.bytes(Metric::MachineAvailable), mib(3));
}

#[test]
fn reads_the_current_machine() {
    let monitor = MemoryMonitor::default();
    let reading = &monitor.sample().reading;
    let total = reading.bytes(Metric::MachineTotal).unwrap();
    assert!(reading.bytes(Metric::MachineAvailable).unwrap() <= total);
    assert!(reading.bytes(Metric::Rss).unwrap() < total);
    assert!(reading.bytes(Metric::Virtual) >= reading.bytes(Metric::Rss));
    assert!(reading.bytes(Metric::RssHighWater).is_some());
    assert!(monitor.effective_limit().unwrap().limit_bytes <= total);
}

#[test]
fn tightest_group_leaves_the_least_room_beside_page_cache() {
    let stat = |active: u64, inactive: u64| {
        format!(
            "anon 5\nactive_file {}inactive_file {}",
            bytes_of(active),
            bytes_of(inactive)
        )
    };
    let root = tree(&[
        ("proc/self/cgroup", "0::/pod/container\n"),
        ("proc/self/mountinfo", V2_MOUNT),
        ("sys/fs/cgroup/pod/memory.max", &bytes_of(500)),
        ("sys/fs/cgroup/pod/memory.current", &bytes_of(490)),
        ("sys/fs/cgroup/pod/memory.stat", &stat(20, 30)),
        ("sys/fs/cgroup/pod/container/memory.max", &bytes_of(400)),
        ("sys/fs/cgroup/pod/container/memory.current", &bytes_of(390)),
        ("sys/fs/cgroup/pod/container/memory.stat", &stat(100, 200)),
    ]);
    // The container has the lower limit, but most of its memory is page cache.
    let limit = CgroupSource::new(root.path()).tightest_limit().unwrap();
    assert_eq!((limit.limit_bytes, limit.used_bytes), (500 << 20, mib(440)));
    assert_eq!(limit.headroom_bytes(), mib(60));
    let file = Path::new("/sys/fs/cgroup/pod/memory.max");
    assert_eq!(limit.origin, LimitOrigin::CgroupMax(file.into()));

    write(
        root.path(),
        "sys/fs/cgroup/pod/container/memory.high",
        &bytes_of(120),
    );
    let limit = CgroupSource::new(root.path()).tightest_limit().unwrap();
    assert_eq!(limit.headroom_bytes(), mib(30));
    let empty = tree(&[]);
    assert_eq!(CgroupSource::new(empty.path()).tightest_limit(), None);
}
