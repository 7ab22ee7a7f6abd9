//! What a model is and needs.

use tts_core::{DeviceKind, ModelSize};

use crate::model::TtsModel;

/// What a model is and needs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Its name, see [`ModelSource::name`](crate::ModelSource::name).
    pub name: String,
    /// Where it computes.
    pub device: DeviceKind,
    /// Threads it computes with.
    pub threads: usize,
    /// Samples a second of what it speaks.
    pub sample_rate_hz: u32,
    /// Frames a second.
    pub frame_rate_hz: f64,
    /// Bytes of its parts.
    pub size: ModelSize,
    /// Bytes that a stream's keys and values grow by for each second of speech.
    pub kv_bytes_per_second: f64,
    /// Why it cannot clone voices; `None` when it can.
    pub no_voice_cloning: Option<String>,
}

impl ModelInfo {
    pub(crate) fn of(tts: &TtsModel) -> Self {
        let model = tts.model();
        let size = model.size();
        let frame_rate_hz = model.config().mimi.frame_rate;
        Self {
            name: tts.source().name(),
            device: model.device(),
            threads: model.threads(),
            sample_rate_hz: model.sample_rate_hz(),
            frame_rate_hz,
            size,
            kv_bytes_per_second: size.kv_bytes_per_position as f64 * frame_rate_hz,
            no_voice_cloning: model.no_voice_cloning().map(str::to_owned),
        }
    }
}
