//! Giving memory back.

use std::fmt;

use serde::{Deserialize, Serialize};
use tensor_pool::{Bytes, heap};
use tts_core::Model;

use super::globals::{get_memory_pool, models};

/// What was given back, by what it was. No byte is in two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FreedMemory {
    /// Voice encoders; they are loaded again when a voice is cloned.
    #[serde(rename = "voice_encoder_bytes", with = "super::bytes")]
    pub voice_encoder: Bytes,
    /// Cached voices that nobody else held.
    #[serde(rename = "voices_bytes", with = "super::bytes")]
    pub voices: Bytes,
    /// Idle tensors of the process's pool.
    #[serde(rename = "idle_tensors_bytes", with = "super::bytes")]
    pub idle_tensors: Bytes,
    /// Blocks that the allocator had kept for later requests.
    #[serde(rename = "idle_blocks_bytes", with = "super::bytes")]
    pub idle_blocks: Bytes,
    /// What devices had kept of their own memory.
    #[serde(rename = "device_bytes", with = "super::bytes")]
    pub device: Bytes,
}

impl FreedMemory {
    /// All of it.
    pub fn total(&self) -> Bytes {
        self.rows().into_iter().map(|(_, bytes)| bytes).sum()
    }

    fn rows(&self) -> [(&'static str, Bytes); 5] {
        [
            ("voice encoder", self.voice_encoder),
            ("cached voices", self.voices),
            ("idle tensors", self.idle_tensors),
            ("idle blocks", self.idle_blocks),
            ("device", self.device),
        ]
    }
}

impl fmt::Display for FreedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} freed", self.total())?;
        let freed = self.rows().into_iter();
        for (i, (name, bytes)) in freed.filter(|(_, bytes)| bytes.get() > 0).enumerate() {
            let separator = if i == 0 { ": " } else { ", " };
            write!(f, "{separator}{name} {bytes}")?;
        }
        Ok(())
    }
}

/// Drops what the model's speech does not need: the voice encoder, idle tensors of the process's pool,
/// and pages that the allocator keeps. [`TtsModel::load`] does this unless
/// [`optimize_memory`](crate::LoadOptions::optimize_memory) is turned off.
///
/// The encoder is loaded again when a voice is cloned, so this is worth it after voices were cloned.
///
/// ```
/// # #[cfg(feature = "builtin-voice")] {
/// use pocket_tts::TtsModel;
/// use pocket_tts::memory::optimize_model_memory;
///
/// let model = TtsModel::builtin()?;
/// println!("{}", optimize_model_memory(&model));
/// assert_eq!(model.info().size.encoder_bytes, None);
/// # }
/// # Ok::<(), pocket_tts::Error>(())
/// ```
pub fn optimize_model_memory(model: &impl AsRef<Model>) -> FreedMemory {
    let retained_before = retained();
    let mut freed = FreedMemory {
        voice_encoder: model.as_ref().drop_voice_encoder(),
        idle_tensors: get_memory_pool().trim(Bytes::ZERO),
        ..FreedMemory::default()
    };
    freed.idle_blocks = give_back_blocks(retained_before);
    freed
}

/// Gives back what is kept for later and used by nobody now: cached voices, idle tensors, what devices
/// keep, pages that the allocator keeps. What speaks goes on; what comes next asks for memory anew.
///
/// ```
/// use pocket_tts::memory::release_idle_memory;
///
/// let freed = release_idle_memory();
/// println!("{freed}");
/// assert_eq!(freed.total(), freed.voices + freed.idle_tensors + freed.idle_blocks + freed.device);
/// ```
pub fn release_idle_memory() -> FreedMemory {
    let (retained_before, reserved_before) = (retained(), reserved());
    let pool = get_memory_pool();
    let models = models();
    let mut freed = FreedMemory {
        voices: models.all().iter().map(|model| model.evict_voices()).sum(),
        idle_tensors: pool.trim(Bytes::ZERO),
        ..FreedMemory::default()
    };
    // Nothing is idle any more but what the devices keep.
    pool.clear();
    // What was dropped on a device was in its reserve.
    let dropped = freed.voices + freed.idle_tensors;
    let dropped_on_device = dropped - models.on_host(dropped);
    freed.device = reserved_before - reserved() - dropped_on_device;
    freed.idle_blocks = give_back_blocks(retained_before);
    freed
}

/// What the allocator keeps for later requests.
fn retained() -> Bytes {
    heap().map_or(Bytes::ZERO, |heap| heap.stats().retained)
}

/// Gives back what the allocator keeps. Returns what of it was kept before anything was dropped: the
/// rest are the blocks of what was.
fn give_back_blocks(retained_before: Bytes) -> Bytes {
    heap().map_or(Bytes::ZERO, |heap| {
        heap.trim(Bytes::ZERO).min(retained_before)
    })
}

/// What devices took from their drivers.
fn reserved() -> Bytes {
    let devices = get_memory_pool().get_stats().devices;
    devices.iter().map(|device| device.bytes_reserved).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_freed_is_told() {
        let mut freed = FreedMemory::default();
        assert_eq!(freed.to_string(), "0 B freed");
        freed.voices = Bytes::mib(3);
        freed.idle_blocks = Bytes::mib(1);
        assert_eq!(
            freed.to_string(),
            "4 MiB freed: cached voices 3 MiB, idle blocks 1 MiB"
        );
    }
}
