//! The parts that the process's bytes are told in, and the models that they belong to.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use mem_monitor::{Backing, MemoryMonitor, Part};
use tensor_pool::Bytes;
use tts_core::DeviceKind;

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
    let mut add = |name, backing, bytes: fn() -> Bytes| {
        monitor.register_part(Part::new(name, backing, move || Some(to_monitor(bytes()))));
    };
    add("weights", Backing::Heap, || {
        of_models(|model| {
            let size = model.model.size();
            let prepared = size.flow_lm_bytes + size.decoder_bytes;
            Bytes::from(prepared + size.encoder_bytes.unwrap_or(0))
        })
    });
    add("mapped weights", Backing::File, mapped);
    add("cached voices", Backing::Heap, || {
        of_models(|model| model.voices.bytes())
    });
    add("keys and values", Backing::Heap, || leased(true));
    add("streaming state", Backing::Heap, || leased(false));
    add("pool idle", Backing::Heap, || {
        on_host(get_memory_pool().get_stats().bytes_idle)
    });
    if DeviceKind::Wgpu.is_built_in() {
        add("device memory", Backing::Device, device);
    }
}

/// Bytes of weights that lie in mapped files.
pub(super) fn mapped() -> Bytes {
    todo!()
}

/// Bytes in use in the devices' own pools.
pub(super) fn device() -> Bytes {
    let devices = get_memory_pool().get_stats().devices;
    devices.iter().map(|device| device.bytes_in_use).sum()
}

/// A sum over the models that keep their tensors on the heap.
fn of_models(bytes: impl Fn(&Shared) -> Bytes) -> Bytes {
    let models = models();
    let on_heap = models.iter().filter(|model| is_on_host(model));
    on_heap.map(|model| bytes(model)).sum()
}

/// Bytes of leased tensors: keys and values, or the rest.
fn leased(keys_and_values: bool) -> Bytes {
    let leases = get_memory_pool().outstanding().into_iter();
    let wanted = leases.filter(|lease| (lease.tag == KEYS_AND_VALUES) == keys_and_values);
    on_host(wanted.map(|lease| lease.size).sum())
}

/// The pool's bytes as far as they are on the heap: none, where every model is on a device.
pub(super) fn on_host(bytes: Bytes) -> Bytes {
    let models = models();
    let elsewhere = !models.is_empty() && !models.iter().any(|model| is_on_host(model));
    if elsewhere { Bytes::ZERO } else { bytes }
}

fn is_on_host(model: &Shared) -> bool {
    model.model.device() != DeviceKind::Wgpu
}
