//! Cost of memory monitoring: samples, spans, each source, reports, and the CPU time of the sampling thread.

use std::{
    fs,
    hint::black_box,
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::{self, sleep},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use mem_monitor::{
    CgroupSource, HeapCounter, History, MachineSource, MemoryMonitor, Metric, PressureSource,
    ProcessSource, PssSource, Reading, Source, StatusSource,
};
use tracing::{info_span, subscriber::with_default};
use tracing_subscriber::{layer::SubscriberExt, registry::Registry};

static LIVE: AtomicU64 = AtomicU64::new(1 << 20);

fn heap() -> HeapCounter {
    HeapCounter::new(|| Some(LIVE.load(Relaxed)))
}

fn with_heap(interval: Duration) -> MemoryMonitor {
    MemoryMonitor::builder()
        .heap(heap())
        .check_interval(interval)
        .build()
        .expect("a valid interval")
}

fn sources(c: &mut Criterion) {
    let root = std::path::Path::new("/");
    let sources: [(&str, Box<dyn Source>); 6] = [
        ("process", Box::new(ProcessSource::new(root))),
        ("status", Box::new(StatusSource::new(root))),
        ("pss", Box::new(PssSource::new(root))),
        ("machine", Box::new(MachineSource::new(root))),
        ("cgroup", Box::new(CgroupSource::new(root))),
        ("pressure", Box::new(PressureSource::new(root))),
    ];
    let mut group = c.benchmark_group("monitor/source");
    for (name, source) in &sources {
        group.bench_function(*name, |b| {
            b.iter(|| {
                let mut reading = Reading::default();
                source.read(&mut reading);
                black_box(reading)
            });
        });
    }
    group.finish();
}

fn samples(c: &mut Criterion) {
    let monitor = with_heap(Duration::from_secs(5));
    c.bench_function("monitor/sample", |b| b.iter(|| monitor.sample()));
    c.bench_function("monitor/current", |b| {
        b.iter(|| monitor.get_current_memory_usage())
    });
    c.bench_function("monitor/peak", |b| {
        b.iter(|| monitor.get_peak_memory_usage())
    });

    let mut reading = Reading::default();
    reading.set_bytes(Metric::Rss, 1);
    let mut history = History::new(1024);
    let mut tick = 0u32;
    c.bench_function("monitor/history_push", |b| {
        b.iter(|| {
            tick += 1;
            history.push(Duration::from_millis(1) * tick, &reading);
        });
    });
}

fn spans(c: &mut Criterion) {
    for (name, monitor) in [
        ("monitor/span_heap", with_heap(Duration::from_secs(5))),
        ("monitor/span_rss", MemoryMonitor::default()),
    ] {
        let subscriber = Registry::default().with(monitor.span_layer());
        with_default(subscriber, || {
            c.bench_function(name, |b| {
                b.iter(|| info_span!("span").in_scope(|| black_box(1)))
            });
        });
    }
}

fn reports(c: &mut Criterion) {
    let monitor = with_heap(Duration::from_secs(5));
    for _ in 0..5000 {
        monitor.sample();
    }
    c.bench_function("monitor/prometheus_text", |b| {
        b.iter(|| monitor.prometheus_text())
    });
    c.bench_function("monitor/svg", |b| {
        b.iter(|| monitor.timeline("t").to_svg(1200, 560))
    });
}

/// Returns the CPU time of the threads of this process with a name, according to the scheduler.
fn cpu_time(name: &str) -> Option<Duration> {
    let mut total = None;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let text = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if text("comm").trim() == name
            && let Some(nanos) = text("schedstat")
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
        {
            *total.get_or_insert(Duration::ZERO) += Duration::from_nanos(nanos);
        }
    }
    total
}

/// Prints the sampling thread's share of a core, measured over ten seconds per interval without Criterion.
/// The first figure is the baseline: a thread that only wakes up and reads the resident set.
fn share_of_a_core(_: &mut Criterion) {
    let floor = Duration::from_millis(10);
    let stop = Arc::new(AtomicBool::new(false));
    let thread = thread::Builder::new().name("floor".into()).spawn({
        let stop = Arc::clone(&stop);
        move || {
            let source = ProcessSource::new(Path::new("/"));
            while !stop.load(Relaxed) {
                sleep(floor);
                source.read(black_box(&mut Reading::default()));
            }
        }
    });
    print_share("a bare thread at 10 ms", "floor");
    stop.store(true, Relaxed);
    drop(thread.map(thread::JoinHandle::join));

    for interval_ms in [1, 10, 100] {
        let monitor = with_heap(Duration::from_millis(interval_ms));
        if monitor.start_monitoring().is_ok() {
            print_share(&format!("a monitor at {interval_ms} ms"), "mem-monitor");
        }
    }
}

fn print_share(what: &str, thread: &str) {
    const SPAN: Duration = Duration::from_secs(10);
    sleep(Duration::from_millis(500));
    let before = cpu_time(thread);
    sleep(SPAN);
    if let Some((before, after)) = before.zip(cpu_time(thread)) {
        let share = (after - before).as_secs_f64() / SPAN.as_secs_f64();
        println!("monitor/share of a core: {what}: {:.3} %", share * 100.0);
    }
}

criterion_group!(benches, share_of_a_core, sources, samples, spans, reports);
criterion_main!(benches);
