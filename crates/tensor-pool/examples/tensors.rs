//! Repeated work on leased tensors: no tensor is allocated after the first round.
//!
//! `cargo run -p tensor-pool --features flex --example tensors`

use burn::tensor::{DType, Device, Tensor};
use tensor_pool::{Budget, MemoryPool, PagedLease, Result, TensorRequest};

fn main() -> Result<()> {
    let device = Device::flex();
    let pool = MemoryPool::new(100);
    let budget = Budget::new("request", Some(2 << 20));

    for round in 1..=3 {
        // The state of a model stage: its last six inputs.
        let mut history = pool.get_tensor([1, 6, 512], DType::F32, &device)?;
        // A growing sequence with 64 positions per page.
        let page = TensorRequest::new([2, 64, 256], DType::F32, &device);
        let mut cache = PagedLease::new(&pool, page.tag("cache").budget(&budget), 1)?;
        for position in 0..300 {
            history
                .update(|history| history.slice_fill([0..1, position % 6..position % 6 + 1], 1.0));
            cache.append(Tensor::ones([2, 1, 256], &device))?;
        }
        let stats = pool.get_stats();
        println!(
            "round {round}: {} pages of {} bytes, {} bytes reserved; leases served from the pool: {}, tensors allocated: {}",
            cache.pages().len(),
            cache.page_bytes(),
            budget.used_bytes(),
            stats.hits,
            stats.allocations,
        );
    }

    // A page that does not fit the budget is refused before it is allocated.
    let page = TensorRequest::new([2, 64, 8192], DType::F32, &device);
    let mut large = PagedLease::new(&pool, page.tag("large cache").budget(&budget), 1)?;
    if let Err(error) = large.append(Tensor::ones([2, 1, 8192], &device)) {
        println!("{error}");
    }
    Ok(())
}
