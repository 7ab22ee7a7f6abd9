//! The monitor's life: starting, stopping, subscribers, alerts, reset, history.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use mem_monitor::{
    AlertRule, Backing, DevicePool, Error, Event, HeapCounter, MemoryMonitor, MemoryMonitorBuilder,
    Metric, Part, Reading, Source,
};

/// Far longer than any step of these tests takes, also on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A monitor that knows nothing but a heap counter which the test sets.
fn with_heap() -> (Arc<AtomicU64>, MemoryMonitorBuilder) {
    let live = Arc::new(AtomicU64::new(0));
    let counter = HeapCounter::new({
        let live = Arc::clone(&live);
        move || Some(live.load(Relaxed))
    });
    let nowhere = tempfile::tempdir().unwrap();
    // The folder is gone when this returns: nothing is known under it.
    let builder = MemoryMonitor::builder().root(nowhere.path()).heap(counter);
    (live, builder)
}

#[test]
fn the_default_interval_is_five_seconds_and_the_least_a_millisecond() {
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
fn settings_that_make_no_sense_are_refused() {
    let build = |builder: MemoryMonitorBuilder| builder.build().unwrap_err();
    let builder = MemoryMonitor::builder;
    assert!(matches!(build(builder().limit_bytes(0)), Error::ZeroLimit));
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
fn starting_and_stopping_twice_is_the_same_as_once() {
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
        subscription.events().recv_timeout(PATIENCE).unwrap();
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
fn a_long_interval_does_not_delay_the_end() {
    let quickest = (0..20)
        .map(|_| {
            let (live, builder) = with_heap();
            let monitor = builder.check_interval(Duration::MAX).build().unwrap();
            monitor.start_monitoring().unwrap();
            while monitor.latest().is_none() {
                std::thread::yield_now();
            }
            // By now the thread most likely waits for the next tick.
            std::thread::sleep(Duration::from_millis(2));
            let begin = Instant::now();
            drop(monitor);
            // The thread is gone, and with it the last handle of the counter.
            assert_eq!(Arc::strong_count(&live), 1);
            begin.elapsed()
        })
        .min()
        .unwrap();
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
}

#[test]
fn a_panicking_source_ends_the_thread_and_it_can_be_started_again() {
    struct Once(AtomicU64);
    impl Source for Once {
        fn read(&self, reading: &mut Reading) {
            assert!(
                self.0.fetch_add(1, Relaxed) > 0,
                "the first read panics: this is part of a test"
            );
            reading.set_bytes(Metric::Heap, Some(7));
        }
    }
    let monitor = MemoryMonitor::builder()
        .source(Once(AtomicU64::new(0)))
        .build()
        .unwrap();
    monitor.start_monitoring().unwrap();
    let begin = Instant::now();
    while monitor.is_monitoring() && begin.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let subscription = monitor.subscribe(4);
    monitor.start_monitoring().unwrap();
    let event = subscription.events().recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(event, Event::Sample(sample) if sample.reading.bytes(Metric::Heap) == Some(7))
    );
}

#[test]
fn a_full_subscriber_loses_events_and_holds_nobody_up() {
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
    let sequence: Vec<u64> = roomy
        .events()
        .try_iter()
        .map(|event| match event {
            Event::Sample(sample) => sample.sequence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sequence, (0..10).collect::<Vec<_>>());
    drop(monitor);
    assert_eq!(
        full.events().iter().count(),
        2,
        "the channel ends with the monitor"
    );
}

#[test]
fn usage_and_peak_are_the_heaps_where_the_resident_set_is_unknown() {
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
fn the_heap_counters_own_peak_counts_between_two_samples_but_not_from_before() {
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
fn default_alerts_tell_of_80_and_95_percent_once_each() {
    let (live, builder) = with_heap();
    let monitor = builder.limit_bytes(1000).build().unwrap();
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
        alerts[0]
            .message
            .contains("80 % of the limit is used, 800 B of 1000 B (configured limit)"),
        "{}",
        alerts[0]
    );
    let told = subscription
        .events()
        .try_iter()
        .filter(|e| matches!(e, Event::Alert(_)))
        .count();
    assert_eq!(told, 2);
    monitor.reset();
    assert!(monitor.get_memory_alerts().is_empty());
    monitor.sample();
    assert_eq!(monitor.get_memory_alerts().len(), 2, "reset arms the rules");
}

#[test]
fn steady_growth_towards_the_limit_is_told_in_time() {
    let (live, builder) = with_heap();
    let monitor = builder
        .limit_bytes(1 << 40)
        // The window is as long as 24 samples that lie close together.
        .trend_window(Duration::from_millis(24))
        .build()
        .unwrap();
    let begin = Instant::now();
    while monitor.get_memory_alerts().is_empty() && begin.elapsed() < PATIENCE {
        // 30 GB a second: the limit is 36 seconds away, and 80 % of it 29.
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
fn device_pools_are_told_apart_and_added_up() {
    let pool = |name: &'static str, used: u64| DevicePool::new(name, move || Some(used));
    let monitor = MemoryMonitor::builder()
        .root("/nowhere")
        .source(pool("gpu0", 30).with_reserved(|| Some(64)))
        .source(pool("gpu1", 12))
        .source(DevicePool::new("off", || None))
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
            ("off", None, None),
        ]
    );
}

#[test]
fn the_history_is_bounded_and_keeps_the_peak() {
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
fn samples_resets_and_questions_from_many_threads_do_not_disturb_each_other() {
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
fn an_alert_is_open_until_the_value_has_gone_back() {
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
fn limit_and_interval_can_be_changed_while_it_runs() {
    let (live, builder) = with_heap();
    let monitor = builder.build().unwrap();
    live.store(600, Relaxed);
    assert_eq!(monitor.effective_limit(), None);
    monitor.set_limit_bytes(1000).unwrap();
    let limit = monitor.sample().limit.clone().unwrap();
    assert_eq!((limit.limit_bytes, limit.used_bytes), (1000, Some(600)));
    assert!(matches!(monitor.set_limit_bytes(0), Err(Error::ZeroLimit)));

    let subscription = monitor.subscribe(64);
    monitor.start_monitoring().unwrap();
    assert!(monitor.set_check_interval(Duration::ZERO).is_err());
    monitor
        .set_check_interval(Duration::from_millis(1))
        .unwrap();
    assert!(monitor.is_monitoring());
    // At the 5 s of before, this would not be three samples.
    for _ in 0..3 {
        subscription.events().recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(monitor.check_interval(), Duration::from_millis(1));
}

#[test]
fn parts_are_remembered_as_they_were_at_the_peak() {
    let (live, builder) = with_heap();
    let monitor = builder.build().unwrap();
    let part = Arc::clone(&live);
    monitor.register_part(Part::new("half", Backing::Heap, move || {
        Some(part.load(Relaxed) / 2)
    }));
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
