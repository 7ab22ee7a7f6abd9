//! The parts that the process's bytes are told in, and the models that they belong to.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use mem_monitor::{Backing, MemoryMonitor, Part};
use tensor_pool::Bytes;
use tts_core::DeviceKind;
use tts_core::memory::{Counted, counted};

use super::bytes::to_monitor;
use super::globals::get_memory_pool;
use crate::model::Shared;

/// What leases of keys and values are tagged with in `tts-core`; all others are streams' other state.
const KEYS_AND_VALUES: &str = "keys and values";

/// Every model that is still there.
static MODELS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Counts a model in, until it is dropped.
pub(crate) fn add_model(model: &Arc<Shared>) {
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    models.retain(|model| model.strong_count() > 0);
    models.push(Arc::downgrade(model));
}

/// The models that are there now.
pub(super) fn models() -> Vec<Arc<Shared>> {
    let models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    models.iter().filter_map(Weak::upgrade).collect()
}

/// Registers all parts.
pub(super) fn register(monitor: &MemoryMonitor) {
    let add = |name, backing, bytes: fn() -> Bytes| {
        monitor.register_part(Part::new(name, backing, move || Some(to_monitor(bytes()))));
    };
    add("weights", Backing::Heap, || on_host(now().prepared));
    add("mapped weights", Backing::File, || now().mapped);
    add("cached voices", Backing::Heap, || {
        let models = models();
        on_host(models.iter().map(|model| model.voices.bytes()).sum())
    });
    add("keys and values", Backing::Heap, || leased(true));
    add("streaming state", Backing::Heap, || leased(false));
    add("pool idle", Backing::Heap, || on_host(now().idle));
    if DeviceKind::Wgpu.is_built_in() {
        add("device memory", Backing::Device, || now().device);
    }
}

/// What limits are about, as it is now.
pub(super) fn now() -> Counted {
    counted(&get_memory_pool())
}

/// Bytes of leased tensors: keys and values, or the rest.
fn leased(keys_and_values: bool) -> Bytes {
    let leases = get_memory_pool().outstanding().into_iter();
    let wanted = leases.filter(|lease| (lease.tag == KEYS_AND_VALUES) == keys_and_values);
    on_host(wanted.map(|lease| lease.size).sum())
}

/// Of these bytes of tensors, those on the heap: none where every model is on a device with memory of its
/// own.
pub(super) fn on_host(bytes: Bytes) -> Bytes {
    let models = models();
    let is_elsewhere = |model: &Arc<Shared>| model.model.device() == DeviceKind::Wgpu;
    if !models.is_empty() && models.iter().all(is_elsewhere) {
        Bytes::ZERO
    } else {
        bytes
    }
}
