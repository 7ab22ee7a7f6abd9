//! Compares leasing a tensor from a pool with creating one, on the system's allocator and on
//! `PoolAllocator`. The second case shows what the tensor pool saves when the allocator already pools large
//! blocks. Each allocator is measured in its own process.

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use benches::Result;
use benches::allocation::{AllocatorKind, SwitchedAllocator, VARIABLE};
use burn::tensor::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput};
use tensor_pool::{MemoryPool, PooledTensor, Reuse, TensorRequest};

#[global_allocator]
static ALLOCATOR: SwitchedAllocator = SwitchedAllocator::new();

/// The history of a convolution, a page of a KV cache, and the largest activation of a model.
const SIZES: [(&str, usize); 3] = [
    ("16 KiB", 16 << 10),
    ("1 MiB", 1 << 20),
    ("16 MiB", 16 << 20),
];

fn main() -> Result<()> {
    ALLOCATOR.install();
    if let Some(allocator) = std::env::var_os(VARIABLE) {
        measure(&allocator.to_string_lossy());
        return Ok(());
    }
    for kind in [AllocatorKind::System, AllocatorKind::Pool] {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(std::env::args_os().skip(1))
            .env(VARIABLE, kind.name());
        kind.set_environment(&mut command);
        let status = command.status()?;
        if !status.success() {
            return Err(format!("the measurement on {} failed: {status}", kind.name()).into());
        }
    }
    Ok(())
}

/// Measures acquiring and dropping a tensor, without and with one write to every element in between. The
/// write includes the page faults that allocating zeros defers.
fn measure(allocator: &str) {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let (pool, device) = (MemoryPool::default(), Device::flex());
    let mut group = criterion.benchmark_group(format!("tensor_pool/{allocator}"));
    for (name, bytes) in SIZES {
        let shape = [bytes / size_of::<f32>()];
        let lease = |reuse| -> PooledTensor<1> {
            let request = TensorRequest::new(shape, DType::F32, &device).reuse(reuse);
            pool.lease(request).expect("the pool has no limit")
        };
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("Tensor::zeros", name), |bencher| {
            bencher.iter(|| black_box(Tensor::<1>::zeros(shape, (&device, DType::F32))));
        });
        group.bench_function(BenchmarkId::new("lease, zeroed", name), |bencher| {
            bencher.iter(|| black_box(lease(Reuse::Zeroed)));
        });
        group.bench_function(BenchmarkId::new("lease, as is", name), |bencher| {
            bencher.iter(|| black_box(lease(Reuse::AsIs)));
        });
        group.bench_function(
            BenchmarkId::new("Tensor::zeros, written", name),
            |bencher| {
                bencher.iter(|| black_box(Tensor::<1>::zeros(shape, (&device, DType::F32)) + 1.0));
            },
        );
        group.bench_function(BenchmarkId::new("lease, as is, written", name), |bencher| {
            bencher.iter(|| {
                let mut tensor = lease(Reuse::AsIs);
                tensor.update(|tensor| tensor + 1.0);
                black_box(tensor)
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
