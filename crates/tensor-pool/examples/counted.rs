//! A program that counts its memory, and whose steady state asks the system for none:
//! `cargo run --example counted`.

use std::hint::black_box;

use tensor_pool::{PeakWindow, PoolAllocator, Scope, heap, minor_faults, pressure, seal_process};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::with_capacity(128 << 20);

/// Two layers of a network that allocates its activations.
fn frame() {
    let _scope = Scope::new("frame");
    let hidden = black_box(vec![0.5_f32; 300_000]);
    let output: Vec<f32> = black_box(hidden.iter().map(|x| x * x).collect());
    drop(black_box((hidden, output)));
}

fn main() {
    assert!(
        ALLOCATOR.install(),
        "the static above is this program's allocator"
    );
    ALLOCATOR.set_soft_limit(256 << 20);

    // The first frame finds the shelves empty.
    let cold = seal_process();
    frame();
    if let Some(report) = cold.report() {
        println!("first frame:  {report}");
    }

    // From then on every large block is one that an earlier frame gave back.
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
        println!("peak in 100 frames: at most {peak}");
    }

    // A library that does not own the static reads the same counts.
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
        println!("given back: {}", heap.trim(0));
    }
}
