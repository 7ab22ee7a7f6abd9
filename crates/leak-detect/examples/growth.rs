//! Tests two workloads for growth of the thread's live heap and the process's resident set (Linux).
//!
//! `cargo run --release -p leak-detect --example growth`

use std::fs;

use leak_detect::{CountingAllocator, GrowthProbe, assert_peak, heap_source};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Returns the resident set in bytes. The crate itself reads nothing from the operating system.
fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn probe<'a>() -> GrowthProbe<'a> {
    let heap = heap_source().expect("the counting allocator is installed");
    let probe = GrowthProbe::new().source("live heap", heap.live_bytes);
    match resident_bytes() {
        Some(_) => probe.source("resident set", || resident_bytes().unwrap_or(0)),
        None => probe,
    }
}

fn main() {
    println!("without a leak:");
    for growth in probe().run(20, 300, |i| drop(vec![1u8; 1000 * (1 + i as usize % 50)])) {
        println!("  {growth}");
    }

    println!("with a leak of 2 KiB per iteration:");
    for growth in probe().run(20, 300, |_| std::mem::forget(vec![1u8; 2048])) {
        println!("  {growth}");
    }

    let sum = assert_peak!(64 * 1024, || (0..4000u64)
        .collect::<Vec<_>>()
        .iter()
        .sum::<u64>());
    println!("sum {sum}, computed within 64 KiB");
}
