//! The models that the process has loaded.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tts_core::DeviceKind;
use tts_core::memory::Reclaim;

use super::release::release_idle_memory;

/// A loaded model, as far as memory reports and reclaiming need it.
pub(crate) trait LoadedModel: Send + Sync {
    /// Returns the device that the model computes on.
    fn device(&self) -> DeviceKind;

    /// Returns the bytes of the cached voices.
    fn cached_voice_bytes(&self) -> u64;

    /// Drops the cached voices that are not in use. Returns their bytes.
    fn evict_voices(&self) -> u64;

    /// Returns the bytes of the cached voices that are not in use, and of the voice encoder.
    fn reclaimable_bytes(&self) -> u64;

    /// Drops the voice encoder. Returns its bytes.
    fn drop_voice_encoder(&self) -> u64;

    /// Calls the program's callbacks for a shortage of memory.
    fn call_on_shortage(&self);

    /// Adds the model and its cached voices to the cycle detector.
    fn track(self: Arc<Self>);
}

/// Weak references to all loaded models.
#[derive(Default)]
pub(super) struct ModelRegistry(Mutex<Vec<Weak<dyn LoadedModel>>>);

impl ModelRegistry {
    /// Adds a model, which stays registered until it is dropped.
    pub(super) fn add(&self, model: Weak<dyn LoadedModel>) {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.retain(|model| model.strong_count() > 0);
        models.push(model);
    }

    /// Returns the models that are loaded now.
    pub(super) fn all(&self) -> Vec<Arc<dyn LoadedModel>> {
        let models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        models.iter().filter_map(Weak::upgrade).collect()
    }

    /// Returns how many of these tensor bytes are on the heap: none if every model is on a device with
    /// memory of its own, otherwise all.
    pub(super) fn on_host(&self, bytes: u64) -> u64 {
        let models = self.all();
        let on_gpu = |model: &Arc<dyn LoadedModel>| model.device() == DeviceKind::Wgpu;
        if !models.is_empty() && models.iter().all(on_gpu) {
            0
        } else {
            bytes
        }
    }
}

/// When memory is short, frees what speech does not need: what the program's callbacks free, idle tensors,
/// cached voices that are not in use, voice encoders, and the allocator's idle blocks.
impl Reclaim for ModelRegistry {
    fn reclaimable_bytes(&self) -> u64 {
        let models = self.all();
        models.iter().map(|model| model.reclaimable_bytes()).sum()
    }

    fn reclaim(&self) {
        for model in self.all() {
            model.call_on_shortage();
            model.drop_voice_encoder();
        }
        let freed = release_idle_memory();
        tracing::debug!("memory is short: {freed}");
    }
}
