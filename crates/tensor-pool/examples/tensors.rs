//! Steady work on leased tensors: after the first round nothing is made any more.
//!
//! `cargo run -p tensor-pool --features flex --example tensors`

use burn::tensor::{DType, Device, Tensor};
use tensor_pool::{Budget, MemoryPool, PagedLease, Result, TensorRequest};

fn main() -> Result<()> {
    let device = Device::flex();
    let pool = MemoryPool::new(100);
    let budget = Budget::new("request", 2 << 20);

    for round in 1..=3 {
        // What a stage of a model remembers of the last steps.
        let mut history = pool.get_tensor([1, 6, 512], DType::F32, &device)?;
        // A sequence that grows: 64 steps a page.
        let page = TensorRequest::new([2, 64, 256], DType::F32, &device);
        let mut cache = PagedLease::new(&pool, page.tag("cache").budget(&budget), 1)?;
        for step in 0..300 {
            history.update(|history| history.slice_fill([0..1, step % 6..step % 6 + 1], 1.0));
            cache.append(Tensor::ones([2, 1, 256], &device))?;
        }
        let stats = pool.get_stats();
        println!(
            "round {round}: {} pages of {}, {} reserved; {} leases were served from the pool, {} tensors were made",
            cache.pages().len(),
            cache.page_bytes(),
            budget.used_bytes(),
            stats.hits,
            stats.allocations,
        );
    }

    // What would not fit is told before it is there.
    let page = TensorRequest::new([2, 64, 8192], DType::F32, &device);
    let mut large = PagedLease::new(&pool, page.tag("large cache").budget(&budget), 1)?;
    if let Err(error) = large.append(Tensor::ones([2, 1, 8192], &device)) {
        println!("{error}");
    }
    Ok(())
}
