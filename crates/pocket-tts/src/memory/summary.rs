//! How memory stands, on one page.

use std::fmt;

use mem_monitor::{Breakdown, RowKind};
use serde::{Deserialize, Serialize};
use tensor_pool::{Bytes, heap};
use tts_core::memory::counted;

use super::bytes::of_monitor;
use super::context::MemoryContext;
use super::globals::{get_memory_monitor, get_memory_pool};
use super::phase::{self, Phase};
use super::table::shown;

/// Under this hit rate a larger pool is advised, as in the original's guide.
const LOW_HIT_RATE: f64 = 0.5;

/// Leases before which a hit rate says nothing: those of a few parts of a text.
const WARM_LEASES: u64 = 500;

/// What limits and predictions are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CountedBytes {
    /// Heap blocks in use; `None` without a [`PoolAllocator`](super::PoolAllocator).
    #[serde(rename = "heap_bytes", with = "super::bytes::optional")]
    pub heap: Option<Bytes>,
    /// Weights in mapped files.
    #[serde(rename = "mapped_bytes", with = "super::bytes")]
    pub mapped: Bytes,
    /// In use in the devices' own pools.
    #[serde(rename = "device_bytes", with = "super::bytes")]
    pub device: Bytes,
    /// All of it. Where the heap is not counted, weights, keys and values, and state stand for it.
    #[serde(rename = "total_bytes", with = "super::bytes")]
    pub total: Bytes,
}

impl CountedBytes {
    fn now() -> Self {
        let counted = counted(&get_memory_pool());
        Self {
            heap: counted.heap,
            mapped: counted.mapped,
            device: counted.device,
            total: counted.total(),
        }
    }
}

/// The least of all limits on this process, and what is charged against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EffectiveLimit {
    /// The limit.
    #[serde(rename = "limit_bytes", with = "super::bytes")]
    pub limit: Bytes,
    /// What is charged against it.
    #[serde(rename = "used_bytes", with = "super::bytes::optional")]
    pub used: Option<Bytes>,
    /// Who sets it: the settings, a control group or the machine.
    pub origin: String,
}

/// What the process's pool did and has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolSummary {
    /// Leases that an idle tensor served.
    pub hits: u64,
    /// Leases that it did not.
    pub misses: u64,
    /// Share of hits, 0 to 1; `None` before the first lease.
    pub hit_rate: Option<f64>,
    /// Idle tensors.
    pub pooled_tensors: usize,
    /// Bytes of leased tensors.
    #[serde(rename = "in_use_bytes", with = "super::bytes")]
    pub in_use: Bytes,
    /// Bytes of idle tensors.
    #[serde(rename = "idle_bytes", with = "super::bytes")]
    pub idle: Bytes,
    /// Most bytes that were leased at once.
    #[serde(rename = "peak_bytes", with = "super::bytes")]
    pub peak: Bytes,
}

/// What the program's allocator has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AllocatorSummary {
    /// Bytes in use.
    #[serde(rename = "live_bytes", with = "super::bytes")]
    pub live: Bytes,
    /// Most bytes that were in use at once.
    #[serde(rename = "peak_bytes", with = "super::bytes")]
    pub peak: Bytes,
    /// Bytes of idle blocks.
    #[serde(rename = "retained_bytes", with = "super::bytes")]
    pub retained: Bytes,
    /// Bytes of blocks in use beyond what was asked for.
    #[serde(rename = "padding_bytes", with = "super::bytes")]
    pub padding: Bytes,
    /// Large requests that an idle block served.
    pub from_pool: u64,
    /// All requests.
    pub requests: u64,
}

/// How memory stands, as [`memory_summary`] found it. `Display` is the page for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemorySummary {
    /// What limits are about.
    pub counted: CountedBytes,
    /// The limit of counted bytes that holds on this thread.
    #[serde(rename = "limit_bytes", with = "super::bytes::optional")]
    pub limit: Option<Bytes>,
    /// The resident set.
    #[serde(rename = "rss_bytes", with = "super::bytes::optional")]
    pub rss: Option<Bytes>,
    /// The most that this process used since it was first watched: resident, or live on the heap if
    /// that was more.
    #[serde(rename = "peak_bytes", with = "super::bytes::optional")]
    pub peak: Option<Bytes>,
    /// The least of all limits: settings, control groups, machine.
    pub effective_limit: Option<EffectiveLimit>,
    /// The process's pool.
    pub pool: PoolSummary,
    /// The program's allocator; `None` without a [`PoolAllocator`](super::PoolAllocator).
    pub allocator: Option<AllocatorSummary>,
    /// Where the resident bytes are.
    pub parts: Breakdown,
    /// What phases took, where spans are recorded.
    pub phases: Vec<Phase>,
    /// What is wrong now.
    pub open_alerts: Vec<String>,
    /// What could be done.
    pub advice: Vec<String>,
}

/// Looks at all memory of this process. Takes a sample of the [monitor](super::get_memory_monitor).
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
    let parts = named(monitor.breakdown());
    let pool = get_memory_pool().get_stats();
    let pool = PoolSummary {
        hits: pool.hits,
        misses: pool.misses,
        hit_rate: pool.hit_rate(),
        pooled_tensors: pool.pooled_tensors,
        in_use: pool.bytes_in_use,
        idle: pool.bytes_idle,
        peak: pool.bytes_peak,
    };
    let alerts = monitor.open_alerts();
    MemorySummary {
        counted: CountedBytes::now(),
        limit: MemoryContext::current().limit(),
        rss: of_monitor(parts.rss_bytes),
        peak: of_monitor(monitor.get_peak_memory_usage()),
        effective_limit: monitor.effective_limit().map(|limit| EffectiveLimit {
            limit: Bytes(limit.limit_bytes),
            used: of_monitor(limit.used_bytes),
            origin: limit.origin.to_string(),
        }),
        allocator: heap().map(|heap| {
            let stats = heap.stats();
            AllocatorSummary {
                live: stats.live,
                peak: stats.peak,
                retained: stats.retained,
                padding: stats.padding,
                from_pool: stats.from_pool.count,
                requests: stats.total.count,
            }
        }),
        parts,
        phases: phase::phases(&monitor.span_stats()),
        open_alerts: alerts.iter().map(ToString::to_string).collect(),
        advice: advice(warm_hit_rate(&pool), !alerts.is_empty()),
        pool,
    }
}

/// Tells the [summary](memory_summary) through `tracing`, at the level `INFO`, and each piece of advice
/// and each open alert at the level `WARN`.
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

/// The breakdown in the engine's words: what is live on the heap and in no part is what operations
/// calculate with, and the little that is left.
pub(super) fn named(mut parts: Breakdown) -> Breakdown {
    for row in &mut parts.rows {
        if row.kind == RowKind::OtherHeap {
            "scratch, other heap".clone_into(&mut row.name);
        }
    }
    parts
}

/// The hit rate, once there were enough leases for it to say something: whatever is leased first is made.
fn warm_hit_rate(pool: &PoolSummary) -> Option<f64> {
    pool.hit_rate
        .filter(|_| pool.hits + pool.misses >= WARM_LEASES)
}

fn advice(hit_rate: Option<f64>, alerted: bool) -> Vec<String> {
    let mut advice = Vec::new();
    if let Some(rate) = hit_rate.filter(|&rate| rate < LOW_HIT_RATE) {
        advice.push(format!(
            "the memory pool's hit rate is {:.0} %: consider a larger pool \
             (POCKET_TTS_MEMORY_POOL_SIZE), or fewer different shapes at once",
            rate * 100.0
        ));
    }
    if alerted {
        advice.push(
            "memory is short: speak under a lower limit (memory_efficient_context), in smaller \
             batches, or give back what is idle (release_idle_memory)"
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
            counted.total,
            shown(counted.heap),
            counted.mapped,
            counted.device
        )?;
        if let Some(limit) = self.limit {
            write!(f, ", limit {limit}")?;
        }
        write!(
            f,
            "\nresident       {}, process peak {}",
            shown(self.rss),
            shown(self.peak)
        )?;
        if let Some(EffectiveLimit {
            limit,
            used,
            origin,
        }) = &self.effective_limit
        {
            write!(
                f,
                "\nleast limit    {limit} ({origin}), used {}",
                shown(*used)
            )?;
        }
        let pool = &self.pool;
        let rate = pool.hit_rate.map_or_else(
            || "no lease yet".to_owned(),
            |rate| {
                format!(
                    "hit rate {:.1} % of {}",
                    rate * 100.0,
                    pool.hits + pool.misses
                )
            },
        );
        write!(
            f,
            "\npool           {rate}, in use {}, idle {} ({} tensors), peak {}",
            pool.in_use, pool.idle, pool.pooled_tensors, pool.peak
        )?;
        if let Some(allocator) = &self.allocator {
            write!(
                f,
                "\nallocator      live {}, peak {}, retained {}, padding {}; {} of {} requests from the pool",
                allocator.live,
                allocator.peak,
                allocator.retained,
                allocator.padding,
                allocator.from_pool,
                allocator.requests
            )?;
        }
        write!(f, "\n\n{}", self.parts)?;
        if !self.phases.is_empty() {
            f.write_str("\n\n")?;
            phase::write(f, &self.phases)?;
        }
        for (what, lines) in [("alert", &self.open_alerts), ("advice", &self.advice)] {
            for line in lines {
                write!(f, "\n{what}: {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_given_where_it_helps() {
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
