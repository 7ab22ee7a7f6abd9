//! Monitors a small program with phases; writes its timeline and its recording and prints its memory by
//! category.
//!
//! `cargo run -p mem-monitor --example timeline -- FOLDER`

use std::{
    env, fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread::sleep,
    time::Duration,
};

use bytesize::ByteSize;
use mem_monitor::{AlertRule, Backing, Category, HeapCounter, MemoryMonitor, Quantity, Recorder};
use tracing::info_span;
use tracing_subscriber::{layer::SubscriberExt, registry::Registry};

/// Live bytes. A real program would read a counting allocator.
static LIVE: AtomicU64 = AtomicU64::new(0);
static TABLE: AtomicU64 = AtomicU64::new(0);

/// A block whose pages are touched.
struct Block(Vec<u8>);

impl Block {
    fn of_mib(mib: usize) -> Self {
        LIVE.fetch_add((mib << 20) as u64, Relaxed);
        Self(vec![1; mib << 20])
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        LIVE.fetch_sub(self.0.len() as u64, Relaxed);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::args_os()
        .nth(1)
        .map_or_else(env::temp_dir, PathBuf::from);

    let monitor = MemoryMonitor::builder()
        .check_interval(Duration::from_millis(10))
        .limit_bytes(Quantity::Rss, 360 << 20)
        .alert_rules([AlertRule::share_of_limit(0.8)])
        .heap(HeapCounter::new(|| Some(LIVE.load(Relaxed))))
        .build()?;
    let table = Category::new("table", Backing::Heap, || Some(TABLE.load(Relaxed)));
    let _registered = monitor.register_category(table);
    let subscriber = Registry::default().with(monitor.span_layer());
    tracing::subscriber::set_global_default(subscriber)?;

    let recorder = Recorder::mprof(&monitor, &folder)?;
    monitor.start_monitoring()?;
    let in_use = work();
    monitor.stop_monitoring();

    let file = recorder.path().to_owned();
    recorder.finish()?;
    let timeline = monitor.timeline("A program with phases");
    fs::write(folder.join("timeline.svg"), timeline.to_svg(1000, 480)?)?;
    fs::write(folder.join("timeline.html"), timeline.to_html()?)?;

    for span in monitor.span_stats() {
        println!(
            "{}: {} calls, peak {}",
            span.name,
            span.calls,
            span.peak_bytes
                .map_or_else(String::new, |peak| ByteSize::b(peak).to_string())
        );
    }
    println!("{}", monitor.breakdown());
    for alert in monitor.get_memory_alerts() {
        println!("{alert}");
    }
    println!("mprof plot {}", file.display());
    drop(in_use);
    Ok(())
}

/// Returns the blocks that are still in use at the end.
fn work() -> [Vec<Block>; 2] {
    let table = {
        let _load = info_span!("load").entered();
        let blocks: Vec<Block> = (0..12)
            .map(|_| {
                sleep(Duration::from_millis(25));
                Block::of_mib(10)
            })
            .collect();
        TABLE.store(120 << 20, Relaxed);
        blocks
    };
    sleep(Duration::from_millis(100));
    let _request = info_span!("request").entered();
    {
        let _parse = info_span!("parse").entered();
        let _scratch = Block::of_mib(190);
        sleep(Duration::from_millis(150));
    }
    let cache: Vec<Block> = {
        let _process = info_span!("process").entered();
        (0..60)
            .map(|_| {
                let _item = info_span!("item").entered();
                let _scratch = Block::of_mib(30);
                sleep(Duration::from_millis(12));
                Block::of_mib(1)
            })
            .collect()
    };
    sleep(Duration::from_millis(80));
    [table, cache]
}
