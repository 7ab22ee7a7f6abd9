//! A model's sizes and settings.

use tts_core::{DeviceKind, Model, ModelSize};

use crate::source::ModelSource;

/// A model's sizes and settings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The name, see [`ModelSource::name`].
    pub name: String,
    /// The compute device.
    pub device: DeviceKind,
    /// Number of compute threads.
    pub threads: usize,
    /// Sample rate of the audio, in Hz.
    pub sample_rate_hz: u32,
    /// Frames per second of audio.
    pub frame_rate_hz: f64,
    /// Sizes of the model's components.
    pub size: ModelSize,
    /// Bytes by which a stream's KV cache grows for each second of audio.
    pub kv_bytes_per_second: f64,
    /// Why the model cannot clone voices; `None` if it can.
    pub no_voice_cloning: Option<String>,
}

impl ModelInfo {
    pub(crate) fn of(model: &Model, source: &ModelSource) -> Self {
        let size = model.size();
        let frame_rate_hz = model.config().mimi.frame_rate;
        Self {
            name: source.name(),
            device: model.device(),
            threads: model.threads(),
            sample_rate_hz: model.sample_rate_hz(),
            frame_rate_hz,
            size,
            kv_bytes_per_second: size.position_kv_bytes as f64 * frame_rate_hz,
            no_voice_cloning: model.no_voice_cloning().map(str::to_owned),
        }
    }
}
