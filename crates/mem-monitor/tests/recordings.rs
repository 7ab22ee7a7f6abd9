//! Recordings and the Prometheus text format, read by independent parsers.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use mem_monitor::{
    AlertRule, Backing, Category, DevicePool, Error, Format, HeapCounter, MemoryMonitor, Metric,
    Quantity, Reading, Recorder, Source,
};
use prometheus_parse::{Scrape, Value};
use tracing::{info_span, subscriber::with_default};
use tracing_subscriber::{layer::SubscriberExt, registry::Registry};

/// A resident set and a high-water mark set by the test.
#[derive(Clone, Default)]
struct Fake {
    rss: Arc<AtomicU64>,
    high_water: Arc<AtomicU64>,
}

impl Fake {
    fn set(&self, rss: u64) {
        self.rss.store(rss, Relaxed);
        self.high_water.fetch_max(rss, Relaxed);
    }
}

impl Source for Fake {
    fn read(&self, reading: &mut Reading) {
        reading.set_bytes(Metric::Rss, self.rss.load(Relaxed));
        reading.set_bytes(Metric::RssHighWater, self.high_water.load(Relaxed));
    }
}

fn monitor(fake: &Fake) -> MemoryMonitor {
    MemoryMonitor::builder()
        .root("/nowhere")
        .source(fake.clone())
        .heap(HeapCounter::new(|| Some(77)))
        .limit_bytes(Quantity::Rss, 1000 << 20)
        .alert_rules([AlertRule::share_of_limit(0.5)])
        .build()
        .unwrap()
}

/// Records two samples between start and end and returns the file's text.
fn record(format: Format) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    let fake = Fake::default();
    fake.set(100 << 20);
    let monitor = monitor(&fake);
    let recorder = Recorder::create(&monitor, format, &path).unwrap();
    assert_eq!(recorder.path(), path);
    with_default(Registry::default().with(monitor.span_layer()), || {
        let _span = info_span!("load file").entered();
        fake.set(600 << 20);
        monitor.sample();
        fake.high_water.store(800 << 20, Relaxed);
        fake.rss.store(50 << 20, Relaxed);
        monitor.sample();
    });
    assert_eq!(recorder.finish().unwrap(), 0, "nothing was dropped");
    fs::read_to_string(path).unwrap()
}

#[test]
fn csv_has_a_header_and_one_line_per_sample() {
    let text = record(Format::Csv);
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows: Vec<HashMap<&str, &str>> = lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields.len(), header.len());
            header.iter().copied().zip(fields).collect()
        })
        .collect();
    let column = |name: &str| {
        rows.iter()
            .map(|row| row[name].to_owned())
            .collect::<Vec<_>>()
    };
    let mib = |values: &[u64]| {
        values
            .iter()
            .map(|v| (v << 20).to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(column("rss_bytes"), mib(&[100, 600, 50, 50]));
    assert_eq!(column("peak_bytes"), mib(&[100, 600, 800, 800]));
    assert_eq!(column("limit_bytes"), mib(&[1000; 4]));
    assert_eq!(column("pss_bytes"), [""; 4], "unknown values are empty");
    assert_eq!(column("heap_bytes"), ["77"; 4]);
}

#[test]
fn json_lines_have_samples_alerts_and_spans() {
    let text = record(Format::JsonLines);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["sample", "sample", "alert", "sample", "span", "sample"]
    );
    assert_eq!(lines[1]["reading"]["rss_bytes"], 600u64 << 20);
    assert!(
        lines[1]["reading"].get("pss_bytes").is_none(),
        "unknown values are left out"
    );
    assert_eq!(lines[1]["limit"]["origin"]["configured"], "rss");
    assert!(
        lines[2]["message"]
            .as_str()
            .unwrap()
            .contains("60 % of the limit")
    );
    assert_eq!(lines[4]["name"], "load file");
    assert!(lines[1]["time_unix_seconds"].as_f64().unwrap() > 1.6e9);
}

#[test]
fn mprof_lines_have_the_format_of_memory_profiler() {
    let text = record(Format::Mprof);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines[0][0], "CMDLINE");
    let memory: Vec<&str> = lines
        .iter()
        .filter(|l| l[0] == "MEM")
        .map(|l| l[1])
        .collect();
    // The peak of 800 MiB is between two samples and has its own line.
    assert_eq!(
        memory,
        [
            "100.000000",
            "600.000000",
            "800.000000",
            "50.000000",
            "50.000000"
        ]
    );
    let times: Vec<f64> = lines
        .iter()
        .filter(|l| l[0] == "MEM")
        .map(|l| l[2].parse().unwrap())
        .collect();
    assert!(times.is_sorted());
    assert!(
        text.lines()
            .all(|line| line.contains(' ') && !line.contains("  "))
    );
    // Spans read the resident set of the process, which is unknown here.
    assert!(lines.iter().all(|l| l[0] != "FUNC"));
}

#[cfg(target_os = "linux")]
#[test]
fn mprof_spans_have_resident_set_and_level() {
    let folder = tempfile::tempdir().unwrap();
    let monitor = MemoryMonitor::default();
    let recorder = Recorder::mprof(&monitor, folder.path()).unwrap();
    let path = recorder.path().to_owned();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("mprofile_") && name.ends_with(".dat") && name.len() == 27,
        "{name}"
    );
    with_default(Registry::default().with(monitor.span_layer()), || {
        let _outer = info_span!(target: "my_app::io", "load").entered();
        let _inner = info_span!(target: "my_app::io", "read all").entered();
    });
    recorder.finish().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let spans: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("FUNC "))
        .map(|line| line.split(' ').collect())
        .collect();
    assert_eq!(spans.len(), 2, "{text}");
    assert_eq!((spans[0][1], spans[0][6]), ("my_app.io.read_all", "1"));
    assert_eq!((spans[1][1], spans[1][6]), ("my_app.io.load", "0"));
    for span in spans {
        let numbers: Vec<f64> = span[2..6].iter().map(|n| n.parse().unwrap()).collect();
        assert!(numbers[0] > 0.0 && numbers[1] <= numbers[3]);
    }
}

#[test]
fn recordings_of_the_same_second_have_different_names() {
    let folder = tempfile::tempdir().unwrap();
    let monitor = MemoryMonitor::default();
    let one = Recorder::mprof(&monitor, folder.path()).unwrap();
    let two = Recorder::mprof(&monitor, folder.path()).unwrap();
    assert_ne!(one.path(), two.path());
}

#[test]
fn recording_rejects_existing_files_and_missing_folders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("there.csv");
    fs::write(&path, "contents").unwrap();
    let monitor = MemoryMonitor::default();
    let error = Recorder::create(&monitor, Format::Csv, &path).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "contents");
    let nowhere = folder.path().join("no/such/folder.csv");
    let error = Recorder::create(&monitor, Format::Csv, &nowhere).unwrap_err();
    assert!(
        matches!(error, Error::Write { .. }) && error.to_string().contains("folder.csv"),
        "{error}"
    );
}

#[test]
fn recording_ends_when_the_monitor_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let monitor = MemoryMonitor::default();
    let recorder = Recorder::create(&monitor, Format::JsonLines, &path).unwrap();
    drop(monitor);
    recorder.finish().unwrap();
    assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 1);
}

#[test]
fn prometheus_text_can_be_parsed() {
    let fake = Fake::default();
    fake.set(600 << 20);
    let monitor = MemoryMonitor::builder()
        .root("/nowhere")
        .source(fake.clone())
        .source(DevicePool::new("a \"gpu\"\\0", || Some(5)).with_reserved(|| Some(9)))
        .limit_bytes(Quantity::Rss, 1000 << 20)
        .build()
        .unwrap();
    let weights = Category::new("weights", Backing::Heap, || Some(123));
    monitor.register_category(weights).detach();
    with_default(Registry::default().with(monitor.span_layer()), || {
        info_span!("load").in_scope(|| {});
    });
    fake.set(850 << 20);
    let text = monitor.prometheus_text();
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let one = |name: &str| {
        let found: Vec<_> = scrape.samples.iter().filter(|s| s.metric == name).collect();
        assert_eq!(found.len(), 1, "{name} in\n{text}");
        found[0].clone()
    };
    let mib = |n: u64| (n << 20) as f64;
    assert_eq!(
        one("process_resident_memory_bytes").value,
        Value::Gauge(mib(850))
    );
    assert_eq!(one("mem_monitor_peak_bytes").value, Value::Gauge(mib(850)));
    let limit = one("mem_monitor_limit_bytes");
    assert_eq!(limit.value, Value::Gauge(mib(1000)));
    assert_eq!(limit.labels.get("origin"), Some("configured limit of RSS"));
    let device = one("mem_monitor_device_in_use_bytes");
    // The parser finds the end of the label but does not unescape it.
    assert_eq!(device.labels.get("device"), Some("a \\\"gpu\\\"\\\\0"));
    assert_eq!(
        one("mem_monitor_device_reserved_bytes").value,
        Value::Gauge(9.0)
    );
    let calls = one("mem_monitor_span_calls_total");
    assert_eq!(
        (calls.value, calls.labels.get("span")),
        (Value::Counter(1.0), Some("load"))
    );
    let weights = scrape
        .samples
        .iter()
        .find(|s| {
            s.metric == "mem_monitor_category_bytes" && s.labels.get("category") == Some("weights")
        })
        .unwrap();
    assert_eq!(weights.value, Value::Gauge(123.0));
    let alerts: f64 = scrape
        .samples
        .iter()
        .filter(|s| s.metric == "mem_monitor_alerts_total")
        .map(|s| match s.value {
            Value::Counter(count) => count,
            ref other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(alerts, 1.0);
    assert!(
        !text.contains("process_virtual_memory_bytes"),
        "unknown values are left out"
    );
}

#[test]
fn prometheus_series_are_unique_whatever_the_names() {
    let rules = [1 << 30, (1 << 30) + 1].map(AlertRule::usage_above);
    let rule = rules[0].to_string();
    assert_eq!(rule, rules[1].to_string(), "thresholds are rounded");
    let monitor = MemoryMonitor::builder()
        .root("/nowhere")
        .source(DevicePool::new("gpu", || Some(5)))
        .source(DevicePool::new("gpu", || Some(6)).with_reserved(|| Some(9)))
        .alert_rules(rules)
        .heap(HeapCounter::new(|| Some(2 << 30)))
        .build()
        .unwrap();
    for (name, bytes) in [("cache", 100), ("other heap", 1), ("cache", 23)] {
        let category = Category::new(name, Backing::Heap, move || Some(bytes));
        monitor.register_category(category).detach();
    }
    let text = monitor.prometheus_text();
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let mut series: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
        .collect();
    let all = series.len();
    series.sort();
    series.dedup();
    assert_eq!(series.len(), all, "{text}");
    let value = |metric: &str, label: (&str, &str)| {
        let found = scrape
            .samples
            .iter()
            .find(|s| s.metric == metric && s.labels.get(label.0) == Some(label.1));
        match found.map(|sample| &sample.value) {
            Some(Value::Gauge(value)) => *value,
            other => panic!("{metric} is {other:?} in\n{text}"),
        }
    };
    assert_eq!(
        value("mem_monitor_device_in_use_bytes", ("device", "gpu")),
        11.0
    );
    let alerts = format!("mem_monitor_alerts_total{{rule=\"{rule}\"}} 2\n");
    assert!(text.contains(&alerts), "{text}");
    let category = |name| value("mem_monitor_category_bytes", ("category", name));
    assert_eq!(category("cache"), 123.0);
    // The category and the rest of the heap have the same name.
    assert_eq!(category("other heap"), f64::from(1 << 30) * 2.0 - 123.0);
}

/// Writes `/proc/self/status` with these sizes in MiB.
fn write_status(root: &std::path::Path, rss: u64, high_water: u64) {
    let text = format!(
        "VmHWM:\t{} kB\nVmRSS:\t{} kB\n",
        high_water << 10,
        rss << 10
    );
    fs::write(root.join("proc/self/status"), text).unwrap();
}

#[test]
fn spike_is_written_once_and_on_time() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/self")).unwrap();
    write_status(root.path(), 100, 100);
    let monitor = MemoryMonitor::builder().root(root.path()).build().unwrap();
    let path = root.path().join("recording");
    let recorder = Recorder::create(&monitor, Format::Mprof, &path).unwrap();
    // The spike is sampled at 190 MiB, below its peak, and ends before the next sample.
    for (rss, high_water) in [(190, 190), (100, 200), (100, 200), (100, 200)] {
        write_status(root.path(), rss, high_water);
        monitor.sample();
    }
    recorder.finish().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let memory: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("MEM ")?.split_once(' '))
        .map(|(mib, time)| (mib.parse().unwrap(), time.parse().unwrap()))
        .collect();
    let curve: Vec<f64> = memory.iter().map(|(mib, _)| *mib).collect();
    assert_eq!(curve, [100.0, 190.0, 200.0, 100.0, 100.0, 100.0, 100.0]);
    assert!(memory.iter().map(|(_, time)| *time).is_sorted());
}

#[cfg(target_os = "linux")]
#[test]
fn prometheus_text_uses_established_names() {
    let text = MemoryMonitor::default().prometheus_text();
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    for name in [
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "node_memory_MemTotal_bytes",
        "node_memory_MemAvailable_bytes",
    ] {
        assert!(text.contains(&format!("# TYPE {name} gauge\n")), "{name}");
        assert!(text.contains(&format!("\n{name} ")), "{name}");
    }
}
