//! The memory categories that the engine adds to the monitor's reports.

use mem_monitor::{Backing, Category, MemoryMonitor};
use std::sync::Arc;

use tensor_pool::MemoryPool;
use tts_core::DeviceKind;
use tts_core::memory::{KV_CACHE_TAG, Ledger};

use super::models::ModelRegistry;

/// Registers the categories of the ledger and of loaded models.
pub(super) fn register(monitor: &MemoryMonitor, ledger: &Ledger, models: &Arc<ModelRegistry>) {
    let add = |name, backing, bytes: fn(&Ledger, &ModelRegistry) -> u64| {
        let (ledger, models) = (ledger.clone(), models.clone());
        let category = Category::new(name, backing, move || Some(bytes(&ledger, &models)));
        monitor.register_category(category).detach();
    };
    add("weights", Backing::Heap, |ledger, models| {
        models.on_host(ledger.counted().prepared_bytes)
    });
    add("mapped weights", Backing::File, |ledger, _| {
        ledger.counted().mapped_bytes
    });
    add("cached voices", Backing::Heap, |_, models| {
        let voices = models.all();
        models.on_host(voices.iter().map(|model| model.cached_voice_bytes()).sum())
    });
    add("KV cache", Backing::Heap, |ledger, models| {
        models.on_host(leased(ledger.pool(), |tag| tag == KV_CACHE_TAG))
    });
    add("streaming state", Backing::Heap, |ledger, models| {
        models.on_host(leased(ledger.pool(), |tag| tag != KV_CACHE_TAG))
    });
    add("pool idle", Backing::Heap, |ledger, models| {
        models.on_host(ledger.counted().idle_bytes)
    });
    if DeviceKind::Wgpu.is_built_in() {
        add("device memory", Backing::Device, |ledger, _| {
            ledger.counted().device_bytes
        });
    }
}

/// Returns the bytes of leased tensors with a matching tag.
fn leased(pool: &MemoryPool, matches: fn(&str) -> bool) -> u64 {
    let leases = pool.outstanding().into_iter();
    let matching = leases.filter(|lease| matches(lease.tag));
    matching.map(|lease| lease.size_bytes).sum()
}
