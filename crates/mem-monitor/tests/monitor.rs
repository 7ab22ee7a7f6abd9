//! The monitor: start, stop, subscribers, alerts, reset, history.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use mem_monitor::{
    AlertRule, Backing, Category, DevicePool, Error, Event, HeapCounter, MemoryMonitor,
    MemoryMonitorBuilder, Metric, Quantity, Reading, Registration, RowKind, Sample, Source,
    Subscription,
};

/// Far longer than any wait of these tests, even on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a builder whose only source is a heap counter set by the test.
fn with_heap() -> (Arc<AtomicU64>, MemoryMonitorBuilder) {
    let live = Arc::new(AtomicU64::new(0));
    let counter = HeapCounter::new({
        let live = Arc::clone(&live);
        move || Some(live.load(Relaxed))
    });
    let nowhere = tempfile::tempdir().unwrap();
    // The folder is removed on return, so nothing can be read under it.
    let builder = MemoryMonitor::builder().root(nowhere.path()).heap(counter);
    (live, builder)
}

#[test]
fn default_interval_is_5_s_and_the_minimum_is_1_ms() {
    assert_eq!(
        MemoryMonitor::default().check_interval(),
        Duration::from_secs(5)
    );
    assert!(MemoryMonitor::new(Duration::from_millis(1)).is_ok());
    let error = MemoryMonitor::new(Duration::from_micros(999)).unwrap_err();
    assert!(matches!(error, Error::IntervalTooShort { .. }));
    assert!(
        error.to_string().contains("999µs") && error.to_string().contains("1ms"),
        "{error}"
    );
}

#[test]
fn rejects_invalid_settings() {
    let build = |builder: MemoryMonitorBuilder| builder.build().unwrap_err();
    let builder = MemoryMonitor::builder;
    assert!(matches!(
        build(builder().limit_bytes(Quantity::Heap, 0)),
        Error::ZeroLimit
    ));
    assert!(matches!(
        build(builder().history_capacity(3)),
        Error::HistoryTooSmall { found: 3, .. }
    ));
    let rules = [AlertRule::share_of_limit(f64::NAN)];
    assert!(matches!(
        build(builder().alert_rules(rules)),
        Error::InvalidRule { .. }
    ));
}

#[test]
fn starting_and_stopping_are_idempotent() {
    let (_, builder) = with_heap();
    let monitor = builder
        .check_interval(Duration::from_millis(1))
        .build()
        .unwrap();
    monitor.stop_monitoring();
    for _ in 0..2 {
        monitor.start_monitoring().unwrap();
        monitor.start_monitoring().unwrap();
        assert!(monitor.is_monitoring());
        let subscription = monitor.subscribe(1);
        subscription.events().recv_timeout(TIMEOUT).unwrap();
        monitor.stop_monitoring();
        monitor.stop_monitoring();
        assert!(!monitor.is_monitoring());
        let samples = monitor.history().samples();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(
            monitor.history().samples(),
            samples,
            "a stopped monitor takes no samples"
        );
    }
}

#[test]
fn long_interval_does_not_delay_stopping() {
    for _ in 0..20 {
        let (live, builder) = with_heap();
        // The next tick is never.
        let monitor = builder.check_interval(Duration::MAX).build().unwrap();
        monitor.start_monitoring().unwrap();
        while monitor.latest().is_none() {
            std::thread::yield_now();
        }
        drop(monitor);
        // The thread has ended and dropped its handle of the counter.
        assert_eq!(Arc::strong_count(&live), 1);
    }
}

/// A source that panics.
struct Broken;

impl Source for Broken {
    fn read(&self, reading: &mut Reading) {
        reading.set_bytes(Metric::Pss, 1);
        panic!("the test expects this panic");
    }

    fn name(&self) -> &str {
        "broken"
    }
}

/// Returns the next sample of a subscription.
fn next_sample(subscription: &Subscription) -> Arc<Sample> {
    loop {
        if let Event::Sample(sample) = subscription.events().recv_timeout(TIMEOUT).unwrap() {
            return sample;
        }
    }
}

#[test]
fn panicking_sources_and_closures_are_reported_and_sampling_goes_on() {
    let (live, builder) = with_heap();
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let monitor = builder
        .check_interval(Duration::from_millis(1))
        .source(Broken)
        .source(DevicePool::new("gpu0", || {
            panic!("the test expects this panic")
        }))
        .build()
        .unwrap();
    let broken = Category::new("cache", Backing::Heap, move || {
        counter.fetch_add(1, Relaxed);
        panic!("the test expects this panic")
    });
    monitor.register_category(broken).detach();
    let table = Category::new("table", Backing::Heap, || Some(3));
    monitor.register_category(table).detach();
    let subscription = monitor.subscribe(1000);
    monitor.start_monitoring().unwrap();
    for bytes in [7, 8, 9] {
        live.store(bytes, Relaxed);
        while next_sample(&subscription).reading.bytes(Metric::Heap) != Some(bytes) {}
    }
    assert!(monitor.is_monitoring());
    monitor.stop_monitoring();
    let names: Vec<_> = monitor.failures().into_iter().map(|f| f.name).collect();
    assert_eq!(
        names,
        ["source `broken`", "source `gpu0`", "category `cache`"]
    );
    let rows = monitor.breakdown().rows;
    assert_eq!(calls.load(Relaxed), 1, "it is not called after its panic");
    assert_eq!((rows[0].failed, rows[0].bytes), (true, None));
    assert_eq!((rows[1].failed, rows[1].bytes), (false, Some(3)));
    assert!(
        monitor
            .prometheus_text()
            .contains("\nmem_monitor_failures 3\n")
    );
}

#[test]
fn panicking_heap_counter_is_unknown_and_reported() {
    let monitor = MemoryMonitor::builder()
        .root("/nowhere")
        .heap(HeapCounter::new(|| panic!("the test expects this panic")))
        .build()
        .unwrap();
    assert_eq!(monitor.get_current_memory_usage(), None);
    assert_eq!(monitor.get_peak_memory_usage(), None);
    monitor.reset();
    assert_eq!(monitor.failures()[0].name, "the heap counter");
    assert_eq!(monitor.failures().len(), 1);
}

#[test]
fn categories_are_removed_with_their_registration() {
    let (_, builder) = with_heap();
    let monitor = builder.build().unwrap();
    let alive = Arc::new(());
    let category = |name: &str| {
        let alive = Arc::clone(&alive);
        Category::new(name, Backing::Heap, move || {
            Some(Arc::strong_count(&alive) as u64)
        })
    };
    let first = monitor.register_category(category("first"));
    monitor.register_category(category("second")).detach();
    let third = monitor.register_category(category("third"));
    let names = |monitor: &MemoryMonitor| -> Vec<String> {
        let rows = monitor.breakdown().rows.into_iter();
        rows.filter(|row| matches!(row.kind, RowKind::Category(_)))
            .map(|row| row.name)
            .collect()
    };
    assert_eq!(names(&monitor), ["first", "second", "third"]);
    drop(first);
    assert_eq!(names(&monitor), ["second", "third"]);
    assert_eq!(Arc::strong_count(&alive), 3, "its closure was dropped");
    drop(monitor);
    drop(third);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn category_can_remove_itself_during_a_sample() {
    let (_, builder) = with_heap();
    let monitor = builder.build().unwrap();
    let own: Arc<Mutex<Option<Registration>>> = Arc::default();
    let closure = Arc::clone(&own);
    let category = Category::new("once", Backing::Heap, move || {
        drop(closure.lock().unwrap().take());
        Some(1)
    });
    *own.lock().unwrap() = Some(monitor.register_category(category));
    // The first sample is at a new peak, so its breakdown is stored.
    monitor.sample();
    assert_eq!(monitor.peak_breakdown().unwrap().rows[0].name, "once");
    assert_ne!(monitor.breakdown().rows[0].name, "once");
}

#[test]
fn callbacks_get_every_alert_and_may_use_the_monitor() {
    let (live, builder) = with_heap();
    let rules = [1000, 2000].map(AlertRule::usage_above);
    let monitor = Arc::new(builder.alert_rules(rules).build().unwrap());
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let registration = monitor.on_alert({
        let (monitor, seen) = (Arc::downgrade(&monitor), Arc::clone(&seen));
        move |alert| {
            let monitor = monitor.upgrade().unwrap();
            assert!(monitor.get_memory_alerts().contains(alert));
            monitor.sample();
            monitor.breakdown();
            seen.lock().unwrap().push(alert.usage_bytes.unwrap());
        }
    });
    monitor
        .on_alert(|_| panic!("the test expects this panic"))
        .detach();
    for bytes in [500, 1200, 1300, 2500] {
        live.store(bytes, Relaxed);
        monitor.sample();
    }
    assert_eq!(*seen.lock().unwrap(), [1200, 2500]);
    assert_eq!(monitor.failures()[0].name, "an alert callback");
    drop(registration);
    for bytes in [0, 1500] {
        live.store(bytes, Relaxed);
        monitor.sample();
    }
    assert_eq!(monitor.get_memory_alerts().len(), 3);
    assert_eq!(seen.lock().unwrap().len(), 2, "the callback was removed");
}

#[test]
fn callback_on_the_sampling_thread_can_stop_the_monitor() {
    let (live, builder) = with_heap();
    let monitor = builder
        .check_interval(Duration::from_millis(1))
        .alert_rules([AlertRule::usage_above(1)])
        .build()
        .unwrap();
    let monitor = Arc::new(monitor);
    let (sender, stopped) = std::sync::mpsc::channel();
    let weak = Arc::downgrade(&monitor);
    monitor
        .on_alert(move |_| {
            weak.upgrade().unwrap().stop_monitoring();
            sender.send(()).unwrap();
        })
        .detach();
    monitor.start_monitoring().unwrap();
    live.store(5, Relaxed);
    stopped.recv_timeout(TIMEOUT).unwrap();
    assert!(!monitor.is_monitoring());
}

#[test]
fn full_subscriber_loses_the_oldest_events_without_blocking() {
    let (_, builder) = with_heap();
    let monitor = builder.build().unwrap();
    let full = monitor.subscribe(2);
    let roomy = monitor.subscribe(100);
    drop(monitor.subscribe(1));
    for _ in 0..10 {
        monitor.sample();
    }
    assert_eq!((full.events().len(), full.dropped()), (2, 8));
    assert_eq!((roomy.events().len(), roomy.dropped()), (10, 0));
    drop(monitor);
    let sequences = |subscription: Subscription| -> Vec<u64> {
        // The channel disconnects when the monitor is dropped.
        let events = subscription.events().iter();
        events
            .map(|event| match event {
                Event::Sample(sample) => sample.sequence,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(sequences(full), [8, 9]);
    assert_eq!(sequences(roomy), (0..10).collect::<Vec<_>>());
}

#[test]
fn dropping_oldest_events_while_receiving_loses_none_unnoticed() {
    let (_, builder) = with_heap();
    let monitor = builder.build().unwrap();
    let subscription = monitor.subscribe(2);
    let received = std::thread::spawn(move || {
        let sequences: Vec<u64> = subscription
            .events()
            .iter()
            .map(|event| match event {
                Event::Sample(sample) => sample.sequence,
                other => panic!("{other:?}"),
            })
            .collect();
        (sequences, subscription.dropped())
    });
    for _ in 0..5000 {
        monitor.sample();
    }
    drop(monitor);
    let (sequences, dropped) = received.join().unwrap();
    assert!(sequences.is_sorted());
    assert_eq!(sequences.last(), Some(&4999));
    assert_eq!(sequences.len() as u64 + dropped, 5000);
}

#[test]
fn usage_and_peak_fall_back_to_the_heap() {
    let (live, builder) = with_heap();
    let monitor = builder.build().unwrap();
    live.store(500, Relaxed);
    assert_eq!(monitor.get_current_memory_usage(), Some(500));
    assert_eq!(monitor.sample().usage_bytes, Some(500));
    live.store(100, Relaxed);
    assert_eq!(monitor.get_peak_memory_usage(), Some(500));
    monitor.reset();
    assert_eq!(monitor.get_peak_memory_usage(), Some(100));
    assert!(monitor.history().is_empty());
}

#[test]
fn heap_counter_peak_counts_since_the_baseline() {
    let peak = Arc::new(AtomicU64::new(9_000));
    let reset = Arc::new(AtomicU64::new(0));
    let heap = HeapCounter::new(|| Some(10))
        .with_peak({
            let peak = Arc::clone(&peak);
            move || Some(peak.load(Relaxed))
        })
        .with_reset({
            let (peak, reset) = (Arc::clone(&peak), Arc::clone(&reset));
            move || {
                peak.store(10, Relaxed);
                reset.fetch_add(1, Relaxed);
            }
        });
    let monitor = MemoryMonitor::builder()
        .root("/nowhere")
        .heap(heap)
        .build()
        .unwrap();
    assert_eq!(monitor.get_peak_memory_usage(), Some(10));
    peak.store(20_000, Relaxed);
    assert_eq!(monitor.get_peak_memory_usage(), Some(20_000));
    monitor.reset();
    assert_eq!(reset.load(Relaxed), 1);
    assert_eq!(monitor.get_peak_memory_usage(), Some(10));
    peak.store(30, Relaxed);
    assert_eq!(monitor.get_peak_memory_usage(), Some(30));
}

#[test]
fn default_alerts_fire_once_at_80_and_95_percent() {
    let (live, builder) = with_heap();
    let monitor = builder.limit_bytes(Quantity::Heap, 1000).build().unwrap();
    let subscription = monitor.subscribe(100);
    for used in [100, 790, 800, 850, 960, 970, 965] {
        live.store(used, Relaxed);
        monitor.sample();
    }
    let alerts = monitor.get_memory_alerts();
    let rules: Vec<_> = alerts.iter().map(|alert| alert.rule).collect();
    assert_eq!(
        rules,
        [
            AlertRule::share_of_limit(0.8),
            AlertRule::share_of_limit(0.95)
        ]
    );
    assert!(
        alerts[0].message.contains(
            "80 % of the limit is used: 800 B of 1000 B (configured limit of the live heap)"
        ),
        "{}",
        alerts[0]
    );
    let sent = subscription
        .events()
        .try_iter()
        .filter(|e| matches!(e, Event::Alert(_)))
        .count();
    assert_eq!(sent, 2);
    monitor.reset();
    assert!(monitor.get_memory_alerts().is_empty());
    monitor.sample();
    assert_eq!(monitor.get_memory_alerts().len(), 2, "reset arms the rules");
}

#[test]
fn steady_growth_towards_the_limit_fires_an_alert() {
    let (live, builder) = with_heap();
    let monitor = builder
        .limit_bytes(Quantity::Heap, 1 << 40)
        // The window covers 24 samples at 1 ms.
        .trend_window(Duration::from_millis(24))
        .build()
        .unwrap();
    let begin = Instant::now();
    while monitor.get_memory_alerts().is_empty() && begin.elapsed() < TIMEOUT {
        // At 30 GB/s the limit is reached in 36 s, and 80 % of it in 29 s.
        let elapsed = begin.elapsed().as_micros() as u64;
        live.store(elapsed * 30_000, Relaxed);
        monitor.sample();
        std::thread::sleep(Duration::from_millis(1));
    }
    let alert = &monitor.get_memory_alerts()[0];
    assert_eq!(
        alert.rule,
        AlertRule::time_to_limit_below(Duration::from_secs(60))
    );
    assert!(alert.message.contains("is reached in about"), "{alert}");
    assert!(monitor.latest().unwrap().time_to_limit.is_some());
}

#[test]
fn device_pools_are_listed_and_summed() {
    let pool = |name: &'static str, used: u64| DevicePool::new(name, move || Some(used));
    let monitor = MemoryMonitor::builder()
        .root("/nowhere")
        .source(pool("gpu0", 30).with_reserved(|| Some(64)))
        .source(pool("gpu1", 12))
        .source(DevicePool::new("unknown", || None))
        .build()
        .unwrap();
    let reading = &monitor.sample().reading;
    assert_eq!(reading.bytes(Metric::Device), Some(42));
    let devices: Vec<_> = reading
        .devices
        .iter()
        .map(|d| (&*d.name, d.in_use_bytes, d.reserved_bytes))
        .collect();
    assert_eq!(
        devices,
        [
            ("gpu0", Some(30), Some(64)),
            ("gpu1", Some(12), None),
            ("unknown", None, None),
        ]
    );
}

#[test]
fn history_is_bounded_and_keeps_the_peak() {
    let (live, builder) = with_heap();
    let monitor = builder.history_capacity(8).build().unwrap();
    for i in 0..1000u64 {
        live.store(if i == 400 { 1_000_000 } else { i }, Relaxed);
        monitor.sample();
    }
    let history = monitor.history();
    assert!(history.len() <= 8);
    assert_eq!(history.samples(), 1000);
    assert_eq!(history.max_bytes(Metric::Heap), Some(1_000_000));
}

#[test]
fn samples_resets_and_queries_run_concurrently() {
    let (_, builder) = with_heap();
    let monitor = builder
        .check_interval(Duration::from_millis(1))
        .build()
        .unwrap();
    monitor.start_monitoring().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    monitor.sample();
                    monitor.get_peak_memory_usage();
                    monitor.reset();
                    monitor.prometheus_text();
                }
            });
        }
    });
    let times: Vec<_> = monitor.history().iter().map(|b| b.start).collect();
    assert!(times.is_sorted());
}

#[test]
fn alert_is_open_until_the_value_goes_back() {
    let (live, builder) = with_heap();
    let rule = AlertRule::usage_above(1000);
    let monitor = builder.alert_rules([rule]).build().unwrap();
    let open_at = |bytes| {
        live.store(bytes, Relaxed);
        monitor.sample();
        monitor.open_alerts().len()
    };
    assert_eq!([500, 1000, 990, 900].map(open_at), [0, 1, 1, 0]);
    assert_eq!(monitor.get_memory_alerts().len(), 1);
}

#[test]
fn limit_and_interval_can_be_changed_while_running() {
    let (live, builder) = with_heap();
    let monitor = builder.build().unwrap();
    live.store(600, Relaxed);
    assert_eq!(monitor.effective_limit(), None);
    monitor.set_limit_bytes(Quantity::Heap, 1000).unwrap();
    let limit = monitor.sample().limit.clone().unwrap();
    assert_eq!((limit.limit_bytes, limit.used_bytes), (1000, Some(600)));
    assert!(matches!(
        monitor.set_limit_bytes(Quantity::Heap, 0),
        Err(Error::ZeroLimit)
    ));

    let subscription = monitor.subscribe(64);
    monitor.start_monitoring().unwrap();
    assert!(monitor.set_check_interval(Duration::ZERO).is_err());
    monitor
        .set_check_interval(Duration::from_millis(1))
        .unwrap();
    assert!(monitor.is_monitoring());
    // The new interval delivers samples without waiting for the previous 5 s.
    for _ in 0..3 {
        subscription.events().recv_timeout(TIMEOUT).unwrap();
    }
    assert_eq!(monitor.check_interval(), Duration::from_millis(1));
}

#[test]
fn peak_breakdown_has_the_categories_at_the_peak() {
    let (live, builder) = with_heap();
    let monitor = builder.build().unwrap();
    let heap = Arc::clone(&live);
    let category = Category::new("half", Backing::Heap, move || Some(heap.load(Relaxed) / 2));
    let _registered = monitor.register_category(category);
    assert_eq!(monitor.peak_breakdown(), None);
    for bytes in [100, 800, 400] {
        live.store(bytes, Relaxed);
        monitor.sample();
    }
    let half = |monitor: &MemoryMonitor| monitor.peak_breakdown().unwrap().rows[0].bytes;
    assert_eq!(half(&monitor), Some(400));
    monitor.reset();
    assert_eq!(monitor.peak_breakdown(), None);
    monitor.sample();
    assert_eq!(half(&monitor), Some(200));
}
