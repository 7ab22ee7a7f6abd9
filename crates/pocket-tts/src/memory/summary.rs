//! A summary of the process's memory.

use std::fmt;

use bytesize::ByteSize;
use mem_monitor::{Breakdown, RowKind};
use serde::{Deserialize, Serialize};
use tensor_pool::heap;

use super::context::MemoryContext;
use super::format::amount;
use super::phase::{self, Phase};
use super::runtime::{get_memory_ledger, get_memory_monitor, get_memory_pool};

/// Hit rate below which the summary advises a larger pool, as in the guide of the Python version.
const LOW_HIT_RATE: f64 = 0.5;

/// Leases before a hit rate is meaningful: those of a few segments.
const MIN_LEASES: u64 = 500;

/// The bytes that limits and plans apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CountedBytes {
    /// Live heap allocations; `None` without a [`PoolAllocator`](super::PoolAllocator).
    pub heap_bytes: Option<u64>,
    /// Memory-mapped weights.
    pub mapped_bytes: u64,
    /// Device memory in use.
    pub device_bytes: u64,
    /// The total. If the heap is not counted, the engine's weights, state and idle tensors stand in for
    /// it.
    pub total_bytes: u64,
}

impl CountedBytes {
    fn now() -> Self {
        let counted = get_memory_ledger().counted();
        Self {
            heap_bytes: counted.heap_bytes,
            mapped_bytes: counted.mapped_bytes,
            device_bytes: counted.device_bytes,
            total_bytes: counted.total(),
        }
    }
}

/// A limit and the bytes charged against it: counted bytes, RSS or the memory of a control group, according to
/// its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EffectiveLimit {
    /// The limit.
    pub limit_bytes: u64,
    /// Bytes charged against the limit.
    pub used_bytes: Option<u64>,
    /// Where the limit is set, which determines the charged bytes: the settings (counted bytes), a control group
    /// (its working set) or the machine (RSS).
    pub origin: String,
}

/// Statistics of the process's pool.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolSummary {
    /// Leases served by an idle tensor.
    pub hits: u64,
    /// Leases that allocated a tensor.
    pub misses: u64,
    /// Share of hits, 0 to 1; `None` before the first lease.
    pub hit_rate: Option<f64>,
    /// Idle tensors.
    pub pooled_tensors: usize,
    /// Leased tensors.
    pub in_use_bytes: u64,
    /// Idle tensors.
    pub idle_bytes: u64,
    /// Peak of leased tensors.
    pub peak_bytes: u64,
}

impl PoolSummary {
    fn now() -> Self {
        let stats = get_memory_pool().get_stats();
        Self {
            hits: stats.hits,
            misses: stats.misses,
            hit_rate: stats.hit_rate(),
            pooled_tensors: stats.pooled_tensors,
            in_use_bytes: stats.in_use_bytes,
            idle_bytes: stats.idle_bytes,
            peak_bytes: stats.peak_bytes,
        }
    }

    /// Returns the hit rate if there were enough leases: the first leases are always misses.
    fn warm_hit_rate(&self) -> Option<f64> {
        self.hit_rate
            .filter(|_| self.hits + self.misses >= MIN_LEASES)
    }
}

/// Statistics of the program's allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AllocatorSummary {
    /// Live allocations.
    pub live_bytes: u64,
    /// Peak of live allocations.
    pub peak_bytes: u64,
    /// Idle blocks.
    pub retained_bytes: u64,
    /// Bytes of blocks in use beyond the requested size.
    pub padding_bytes: u64,
    /// Large requests served by an idle block.
    pub from_pool: u64,
    /// All requests.
    pub requests: u64,
}

impl AllocatorSummary {
    fn now() -> Option<Self> {
        let stats = heap()?.stats();
        Some(Self {
            live_bytes: stats.live_bytes,
            peak_bytes: stats.peak_bytes,
            retained_bytes: stats.retained_bytes,
            padding_bytes: stats.padding_bytes,
            from_pool: stats.from_pool.count,
            requests: stats.total.count,
        })
    }
}

/// The memory of this process at one moment, made by [`memory_summary`]. `Display` prints it as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemorySummary {
    /// The bytes that limits apply to.
    pub counted: CountedBytes,
    /// The limit of counted bytes on this thread.
    pub limit_bytes: Option<u64>,
    /// RSS.
    pub rss_bytes: Option<u64>,
    /// Peak RSS since the monitor's first sample.
    pub rss_peak_bytes: Option<u64>,
    /// The limit with the least headroom: of the settings, the control groups or the machine.
    pub effective_limit: Option<EffectiveLimit>,
    /// The process's pool.
    pub pool: PoolSummary,
    /// The program's allocator; `None` without a [`PoolAllocator`](super::PoolAllocator).
    pub allocator: Option<AllocatorSummary>,
    /// RSS by category.
    pub categories: Breakdown,
    /// The phases, if spans are recorded.
    pub phases: Vec<Phase>,
    /// Alerts that apply now.
    pub open_alerts: Vec<String>,
    /// Suggested remedies.
    pub advice: Vec<String>,
}

/// Summarizes the memory of this process. Takes a sample of the [monitor](super::get_memory_monitor).
///
/// ```
/// use pocket_tts::memory::memory_summary;
///
/// let summary = memory_summary();
/// println!("{summary}");
/// let json = serde_json::to_string(&summary)?;
/// # assert_eq!(serde_json::from_str::<pocket_tts::memory::MemorySummary>(&json)?.pool, summary.pool);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn memory_summary() -> MemorySummary {
    let monitor = get_memory_monitor();
    let categories = named(monitor.breakdown());
    let pool = PoolSummary::now();
    let alerts = monitor.open_alerts();
    MemorySummary {
        counted: CountedBytes::now(),
        limit_bytes: MemoryContext::current().limit_bytes(),
        rss_bytes: categories.rss_bytes,
        rss_peak_bytes: monitor.get_peak_rss(),
        effective_limit: monitor.effective_limit().map(|limit| EffectiveLimit {
            limit_bytes: limit.limit_bytes,
            used_bytes: limit.used_bytes,
            origin: limit.origin.to_string(),
        }),
        allocator: AllocatorSummary::now(),
        categories,
        phases: phase::phases(&monitor.span_stats()),
        open_alerts: alerts.iter().map(ToString::to_string).collect(),
        advice: advice(pool.warm_hit_rate(), !alerts.is_empty()),
        pool,
    }
}

/// Logs the [summary](memory_summary) through `tracing` at level `INFO`, and its advice and open alerts
/// at level `WARN`.
///
/// ```
/// pocket_tts::memory::log_memory_summary();
/// ```
pub fn log_memory_summary() {
    log(&memory_summary());
}

pub(super) fn log(summary: &MemorySummary) {
    tracing::info!("memory summary\n{summary}");
    for line in summary.open_alerts.iter().chain(&summary.advice) {
        tracing::warn!("{line}");
    }
}

/// Renames the rest of the heap: in the engine, it is mostly the scratch of operations.
pub(super) fn named(mut categories: Breakdown) -> Breakdown {
    for row in &mut categories.rows {
        if row.kind == RowKind::OtherHeap {
            "scratch, other heap".clone_into(&mut row.name);
        }
    }
    categories
}

fn advice(hit_rate: Option<f64>, has_alerts: bool) -> Vec<String> {
    let mut advice = Vec::new();
    if let Some(rate) = hit_rate.filter(|&rate| rate < LOW_HIT_RATE) {
        advice.push(format!(
            "the memory pool's hit rate is {:.0} %: increase its size (POCKET_TTS_MEMORY_POOL_SIZE), \
             or use fewer different batch sizes",
            rate * 100.0
        ));
    }
    if has_alerts {
        advice.push(
            "memory is short: reduce the batch size, unload models that are not in use, \
             or release idle memory (release_idle_memory)"
                .to_owned(),
        );
    }
    advice
}

impl fmt::Display for MemorySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = &self.counted;
        write!(
            f,
            "counted        {} (heap {}, mapped {}, device {})",
            ByteSize::b(counted.total_bytes),
            amount(counted.heap_bytes),
            ByteSize::b(counted.mapped_bytes),
            ByteSize::b(counted.device_bytes)
        )?;
        if let Some(limit) = self.limit_bytes {
            write!(f, ", limit {}", ByteSize::b(limit))?;
        }
        write!(
            f,
            "\nRSS            {}, peak {}",
            amount(self.rss_bytes),
            amount(self.rss_peak_bytes)
        )?;
        if let Some(limit) = &self.effective_limit {
            write!(
                f,
                "\nnearest limit  {} ({}), used {}",
                ByteSize::b(limit.limit_bytes),
                limit.origin,
                amount(limit.used_bytes)
            )?;
        }
        let pool = &self.pool;
        let rate = match pool.hit_rate {
            None => "no leases".to_owned(),
            Some(rate) => {
                let leases = pool.hits + pool.misses;
                format!("hit rate {:.1} % of {leases} leases", rate * 100.0)
            }
        };
        write!(
            f,
            "\npool           {rate}, in use {}, idle {} ({} tensors), peak {}",
            ByteSize::b(pool.in_use_bytes),
            ByteSize::b(pool.idle_bytes),
            pool.pooled_tensors,
            ByteSize::b(pool.peak_bytes)
        )?;
        if let Some(allocator) = &self.allocator {
            write!(
                f,
                "\nallocator      live {}, peak {}, retained {}, padding {}; {} of {} requests from the pool",
                ByteSize::b(allocator.live_bytes),
                ByteSize::b(allocator.peak_bytes),
                ByteSize::b(allocator.retained_bytes),
                ByteSize::b(allocator.padding_bytes),
                allocator.from_pool,
                allocator.requests
            )?;
        }
        write!(f, "\n\n{}", self.categories)?;
        if !self.phases.is_empty() {
            f.write_str("\n\n")?;
            phase::write(f, &self.phases)?;
        }
        for (label, lines) in [("alert", &self.open_alerts), ("advice", &self.advice)] {
            for line in lines {
                write!(f, "\n{label}: {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_from_a_low_hit_rate_or_an_alert() {
        assert!(advice(None, false).is_empty());
        assert!(advice(Some(0.5), false).is_empty());
        let low = advice(Some(0.49), false);
        assert!(
            low[0].contains("49 %") && low[0].contains("POOL_SIZE"),
            "{low:?}"
        );
        let alerted = advice(Some(0.9), true);
        assert!(alerted[0].contains("release_idle_memory"), "{alerted:?}");
    }
}
