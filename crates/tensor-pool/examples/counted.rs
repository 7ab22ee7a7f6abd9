//! A program that measures its memory and makes no large system allocations after warm-up.
//!
//! `cargo run --example counted`

use std::hint::black_box;

use tensor_pool::{PeakWindow, PoolAllocator, Scope, heap, minor_faults, pressure, seal_process};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::with_capacity(128 << 20);

/// Runs two layers of a network, each of which allocates its activations.
fn frame() {
    let _scope = Scope::new("frame");
    let hidden = black_box(vec![0.5_f32; 300_000]);
    let output: Vec<f32> = black_box(hidden.iter().map(|x| x * x).collect());
    drop(black_box((hidden, output)));
}

fn main() {
    assert!(
        ALLOCATOR.install(),
        "ALLOCATOR is not the global allocator of this program"
    );
    ALLOCATOR.set_soft_limit(256 << 20);

    // The pool is empty before the first frame.
    let cold = seal_process();
    frame();
    if let Some(report) = cold.report() {
        println!("first frame:  {report}");
    }

    // Later frames reuse the large blocks that earlier frames freed.
    let warm = seal_process();
    let window = PeakWindow::new();
    let faults = minor_faults();
    for _ in 0..100 {
        frame();
    }
    if let Some(report) = warm.report() {
        println!("later frames: {report}");
    }
    if let (Some(before), Some(after)) = (faults, minor_faults()) {
        println!("page faults in 100 frames: {}", after - before);
    }
    if let Some(peak) = window.peak_bytes() {
        println!("peak in 100 frames: at most {peak} bytes");
    }

    // A library without access to the static reads the same counters.
    if let Some(heap) = heap() {
        let stats = heap.stats();
        println!(
            "live {}, retained {}, {} of {} requests from the pool, pressure: {}",
            stats.live_bytes,
            stats.retained_bytes,
            stats.from_pool.count,
            stats.total.count,
            pressure()
        );
        println!("released: {}", heap.trim(0));
    }
}
