//! Release of memory that is not needed.

use std::fmt;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use tensor_pool::heap;
use tts_core::Model;

use super::runtime::{get_memory_pool, models};

/// Released memory by its kind. The kinds do not overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FreedMemory {
    /// Voice encoders, which are loaded again when a voice is cloned.
    pub voice_encoder_bytes: u64,
    /// Cached voices without other users.
    pub voices_bytes: u64,
    /// Idle tensors of the process's pool.
    pub idle_tensors_bytes: u64,
    /// Blocks that the allocator had retained.
    pub idle_blocks_bytes: u64,
    /// Device memory that the devices had retained.
    pub device_bytes: u64,
}

impl FreedMemory {
    /// Returns the total.
    pub fn total_bytes(&self) -> u64 {
        self.rows().into_iter().map(|(_, bytes)| bytes).sum()
    }

    fn rows(&self) -> [(&'static str, u64); 5] {
        [
            ("voice encoder", self.voice_encoder_bytes),
            ("cached voices", self.voices_bytes),
            ("idle tensors", self.idle_tensors_bytes),
            ("idle blocks", self.idle_blocks_bytes),
            ("device", self.device_bytes),
        ]
    }
}

impl fmt::Display for FreedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} freed", ByteSize::b(self.total_bytes()))?;
        let freed = self.rows().into_iter().filter(|(_, bytes)| *bytes > 0);
        for (i, (name, bytes)) in freed.enumerate() {
            let separator = if i == 0 { ": " } else { ", " };
            write!(f, "{separator}{name} {}", ByteSize::b(bytes))?;
        }
        Ok(())
    }
}

/// Drops what a model does not need for speech: the voice encoder, idle tensors of the process's pool,
/// and blocks that the allocator retained. [`TtsModel::load`](crate::TtsModel::load) does this unless
/// [`optimize_memory`](crate::LoadOptions::optimize_memory) is disabled.
///
/// The encoder is loaded again when a voice is cloned, so call this after cloning.
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
    let retained_before = retained_bytes();
    let mut freed = FreedMemory {
        voice_encoder_bytes: model.as_ref().drop_voice_encoder(),
        idle_tensors_bytes: get_memory_pool().trim(0),
        ..FreedMemory::default()
    };
    freed.idle_blocks_bytes = trim_heap(retained_before);
    freed
}

/// Releases everything that is retained but unused: cached voices, idle tensors, the devices' reserves
/// and the allocator's idle blocks. Speech in progress is not affected; later speech allocates again.
///
/// ```
/// use pocket_tts::memory::release_idle_memory;
///
/// let freed = release_idle_memory();
/// println!("{freed}");
/// assert_eq!(freed.voice_encoder_bytes, 0);
/// ```
pub fn release_idle_memory() -> FreedMemory {
    let (retained_before, reserved_before) = (retained_bytes(), reserved_bytes());
    let pool = get_memory_pool();
    let models = models();
    let mut freed = FreedMemory {
        voices_bytes: models.all().iter().map(|model| model.evict_voices()).sum(),
        idle_tensors_bytes: pool.trim(0),
        ..FreedMemory::default()
    };
    // Only the devices' reserves are idle now.
    pool.clear();
    // The reserves include the tensors that were dropped on a device.
    let dropped = freed.voices_bytes + freed.idle_tensors_bytes;
    let dropped_on_device = dropped - models.on_host(dropped);
    freed.device_bytes = reserved_before
        .saturating_sub(reserved_bytes())
        .saturating_sub(dropped_on_device);
    freed.idle_blocks_bytes = trim_heap(retained_before);
    freed
}

/// Returns the bytes of the allocator's idle blocks.
fn retained_bytes() -> u64 {
    heap().map_or(0, |heap| heap.stats().retained_bytes)
}

/// Releases the allocator's idle blocks. Returns at most the bytes retained before anything was dropped,
/// because further blocks belonged to the dropped objects, whose bytes are reported already.
fn trim_heap(retained_before: u64) -> u64 {
    heap().map_or(0, |heap| heap.trim(0).min(retained_before))
}

/// Returns the bytes that the devices' pools reserve.
fn reserved_bytes() -> u64 {
    let devices = get_memory_pool().get_stats().devices;
    devices.iter().map(|device| device.reserved_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_only_kinds_that_were_freed() {
        let mut freed = FreedMemory::default();
        assert_eq!(freed.to_string(), "0 B freed");
        freed.voices_bytes = 3 << 20;
        freed.idle_blocks_bytes = 1 << 20;
        assert_eq!(
            freed.to_string(),
            "4.0 MiB freed: cached voices 3.0 MiB, idle blocks 1.0 MiB"
        );
    }
}
