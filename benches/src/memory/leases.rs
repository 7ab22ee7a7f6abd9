//! The engine's pool while it speaks, and what a lease costs by itself.

use bench_report::memory::Unit;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};
use tensor_pool::{
    DEFAULT_MAX_POOL_SIZE, MemoryPool, PoolStats, PooledTensor, Reuse, TensorRequest,
};

use super::setup::Loaded;
use super::{Figures, Task};
use crate::{Result, without_end};

/// A page of keys and values of one layer of the released models: keys and values, batch, steps,
/// heads, width of a head. Most leases of a stream are such.
const PAGE: [usize; 5] = [2, 1, 64, 16, 64];

/// Leased at once, as many as a stream of the released models holds after half a minute.
const LEASES: usize = 32;

/// How often they are all leased and given back.
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
    figures.put("a lease of what was given back", Unit::Nanoseconds, again);
    Ok(figures)
}

/// The share of the leases between two moments that an idle tensor served; unknown without any.
fn percent_found(before: &PoolStats, after: &PoolStats) -> Option<f64> {
    let hits = after.hits - before.hits;
    let leases = hits + after.misses - before.misses;
    (leases > 0).then(|| 100.0 * hits as f64 / leases as f64)
}

/// Nanoseconds that a lease takes, of a pool without idle tensors and of one to which as many were
/// given back.
fn lease_times(pool: &MemoryPool) -> Result<[f64; 2]> {
    let device = Device::flex();
    let mut spent = [Duration::ZERO; 2];
    for _ in 0..ROUNDS {
        pool.clear();
        for spent in &mut spent {
            let start = Instant::now();
            let held: tensor_pool::Result<Vec<PooledTensor<5>>> = (0..LEASES)
                .map(|_| {
                    let page = TensorRequest::new(PAGE, DType::F32, &device);
                    pool.lease(page.reuse(Reuse::AsIs))
                })
                .collect();
            *spent += start.elapsed();
            drop(held?);
        }
    }
    Ok(spent.map(|spent| spent.as_nanos() as f64 / f64::from(ROUNDS) / LEASES as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_leases_between_the_two_moments() {
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
