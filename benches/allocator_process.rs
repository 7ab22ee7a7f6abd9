//! Effects of an installed `tensor_pool::PoolAllocator` on the rest of its process: on C code that calls
//! `malloc`, and of open peak windows on allocations.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tensor_pool::{PeakWindow, PoolAllocator};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::with_capacity(64 << 20);

/// Distance of the bytes that are written into a block. Touches every page.
const TOUCH_STRIDE_BYTES: usize = 4096;

/// Allocates, touches and frees a block as C code does.
fn c_block(size: usize) {
    // SAFETY: the block is at least `size` bytes long, and freed once.
    unsafe {
        let block = libc::malloc(size).cast::<u8>();
        assert!(!block.is_null());
        for offset in (0..size).step_by(TOUCH_STRIDE_BYTES) {
            block.add(offset).write_volatile(1);
        }
        libc::free(black_box(block).cast());
    }
}

fn c_code(criterion: &mut Criterion) {
    let mut measure = |state: &str| {
        for (name, size) in [("1 MiB", 1 << 20), ("16 MiB", 16 << 20)] {
            criterion.bench_function(&format!("process/C malloc/{name}/{state}"), |bencher| {
                bencher.iter(|| c_block(size));
            });
        }
    };
    measure("not installed");
    assert!(ALLOCATOR.install());
    measure("installed");
    ALLOCATOR.set_capacity(0);
    measure("capacity 0");
    ALLOCATOR.set_capacity(64 << 20);
}

fn windows(criterion: &mut Criterion) {
    let mut measure = |state: &str| {
        criterion.bench_function(&format!("process/1 MiB/{state}"), |bencher| {
            bencher.iter(|| drop(black_box(Vec::<u8>::with_capacity(1 << 20))));
        });
    };
    measure("no window");
    let windows: Vec<_> = (0..500).map(|_| PeakWindow::new()).collect();
    measure("500 windows open");
    drop(windows);
    measure("500 windows closed");
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = c_code, windows
}
criterion_main!(benches);
