//! The pool of the model during generation, and the cost of a lease.

use bench_report::memory::Unit;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};
use tensor_pool::{
    DEFAULT_MAX_POOL_SIZE, MemoryPool, PoolStats, PooledTensor, Reuse, TensorRequest,
};

use super::setup::Loaded;
use super::{Figures, Task};
use crate::{Result, without_end};

/// The shape of most leases of a stream: one KV page of a layer of the released models, with the axes
/// keys and values, batch, positions, heads, head width.
const PAGE: [usize; 5] = [2, 1, 64, 16, 64];

/// Simultaneous leases: as many as a stream of the released models has after half a minute.
const LEASES: usize = 32;

/// Rounds of leasing and releasing all of them.
const ROUNDS: u32 = 50;

pub(super) fn measure(task: &Task) -> Result<Figures> {
    let Loaded {
        model,
        voice,
        session: _session,
    } = task.load()?;
    let mut figures = Figures::default();
    for (name, leases) in [
        ("pool hits, first speech", "leases, first speech"),
        ("pool hits, second speech", "leases, second speech"),
    ] {
        let before = model.memory_pool().get_stats();
        model.generate(&voice, &task.text, &without_end())?;
        let after = model.memory_pool().get_stats();
        figures.put(name, Unit::Percent, percent_found(&before, &after));
        let leased = after.hits + after.misses - before.hits - before.misses;
        figures.count(leases, leased as usize);
    }
    let max_pool_size = if task.setup.pool {
        DEFAULT_MAX_POOL_SIZE
    } else {
        0
    };
    let [first, again] = lease_times(&MemoryPool::new(max_pool_size))?;
    figures.put("a lease from an empty pool", Unit::Nanoseconds, first);
    figures.put("a lease of a released tensor", Unit::Nanoseconds, again);
    Ok(figures)
}

/// Returns the percentage of leases between two snapshots that reused an idle tensor; `None` without leases.
fn percent_found(before: &PoolStats, after: &PoolStats) -> Option<f64> {
    let hits = after.hits - before.hits;
    let leases = hits + after.misses - before.misses;
    (leases > 0).then(|| 100.0 * hits as f64 / leases as f64)
}

/// Returns the nanoseconds per lease from an empty pool, and from a pool with enough idle tensors.
fn lease_times(pool: &MemoryPool) -> Result<[f64; 2]> {
    let device = Device::flex();
    let mut spent = [Duration::ZERO; 2];
    for _ in 0..ROUNDS {
        pool.clear();
        for spent in &mut spent {
            let start = Instant::now();
            let leases: tensor_pool::Result<Vec<PooledTensor<5>>> = (0..LEASES)
                .map(|_| {
                    let page = TensorRequest::new(PAGE, DType::F32, &device);
                    pool.lease(page.reuse(Reuse::AsIs))
                })
                .collect();
            *spent += start.elapsed();
            drop(leases?);
        }
    }
    Ok(spent.map(|spent| spent.as_nanos() as f64 / f64::from(ROUNDS) / LEASES as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentage_counts_leases_between_the_snapshots() {
        let stats = |hits, misses| PoolStats {
            hits,
            misses,
            ..PoolStats::default()
        };
        let found = percent_found(&stats(10, 10), &stats(13, 11));
        assert_eq!(found, Some(75.0));
        assert_eq!(percent_found(&stats(10, 10), &stats(10, 10)), None);
    }
}
