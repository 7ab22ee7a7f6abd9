//! The memory categories that the engine adds to the monitor's reports.

use mem_monitor::{Backing, Category, MemoryMonitor};
use tensor_pool::MemoryPool;
use tts_core::DeviceKind;
use tts_core::memory::{KV_CACHE_TAG, counted};

use super::models::ModelRegistry;

/// Registers the categories of a pool and of loaded models.
pub(super) fn register(monitor: &MemoryMonitor, pool: &MemoryPool, models: &'static ModelRegistry) {
    let add = |name, backing, bytes: Box<dyn Fn(&MemoryPool) -> u64 + Send + Sync>| {
        let pool = pool.clone();
        let category = Category::new(name, backing, move || Some(bytes(&pool)));
        monitor.register_category(category).detach();
    };
    add(
        "weights",
        Backing::Heap,
        Box::new(|pool| models.on_host(counted(pool).prepared)),
    );
    add(
        "mapped weights",
        Backing::File,
        Box::new(|pool| counted(pool).mapped),
    );
    add(
        "cached voices",
        Backing::Heap,
        Box::new(|_| {
            let voices = models.all();
            models.on_host(voices.iter().map(|model| model.cached_voice_bytes()).sum())
        }),
    );
    add(
        "KV cache",
        Backing::Heap,
        Box::new(|pool| models.on_host(leased(pool, |tag| tag == KV_CACHE_TAG))),
    );
    add(
        "streaming state",
        Backing::Heap,
        Box::new(|pool| models.on_host(leased(pool, |tag| tag != KV_CACHE_TAG))),
    );
    add(
        "pool idle",
        Backing::Heap,
        Box::new(|pool| models.on_host(counted(pool).idle)),
    );
    if DeviceKind::Wgpu.is_built_in() {
        add(
            "device memory",
            Backing::Device,
            Box::new(|pool| counted(pool).device),
        );
    }
}

/// Returns the bytes of leased tensors with a matching tag.
fn leased(pool: &MemoryPool, matches: fn(&str) -> bool) -> u64 {
    let leases = pool.outstanding().into_iter();
    let matching = leases.filter(|lease| matches(lease.tag));
    matching.map(|lease| lease.size_bytes).sum()
}
