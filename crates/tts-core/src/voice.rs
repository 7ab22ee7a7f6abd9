//! Voices: FlowLM's KV cache after a voice prompt.

mod file;

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::device::DeviceError;
use crate::weights::WeightsError;

pub(crate) use file::{VoiceFile, VoiceShape};

/// An error of a voice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoiceError {
    /// A voice does not fit the model, or its file is damaged.
    #[error("{} is not a voice for this model: {reason}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The difference, and what the model needs.
        reason: String,
    },
    /// The file cannot be opened or is not a safetensors file.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// A voice file cannot be written.
    #[error("cannot write voice {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The weights have no voice encoder.
    #[error("these weights cannot clone voices: {0}")]
    NoEncoder(String),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A voice of one model. Cheap to clone; streams share it.
#[derive(Clone, Debug)]
pub struct Voice {
    pub(crate) kv: Arc<VoiceKv>,
}

/// Keys and values of a voice in every layer.
#[derive(Debug)]
pub(crate) struct VoiceKv {
    /// `[k/v, 1, len, kv_head, head_dim]` each
    pub(crate) layers: Vec<Tensor<5>>,
    /// Positions.
    pub(crate) len: usize,
}

impl VoiceKv {
    /// Bytes of the keys and values.
    fn size_bytes(&self) -> u64 {
        let layers = self.layers.iter();
        layers
            .map(|layer| (layer.shape().num_elements() * size_of::<f32>()) as u64)
            .sum()
    }
}

impl Voice {
    /// Positions that the voice takes before each text.
    pub fn positions(&self) -> usize {
        self.kv.len
    }

    /// Returns whether a clone of the voice or a stream that uses it exists.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.kv) > 1
    }

    /// Returns whether both are clones of one voice.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kv, &other.kv)
    }

    /// Bytes of the keys and values.
    pub fn size_bytes(&self) -> u64 {
        self.kv.size_bytes()
    }
}

crate::traced::trace_fields!(Voice: kv);

/// Reports the bytes of the tensors, which own no `Arc` that leads further.
#[cfg(feature = "leak-detect")]
impl leak_detect::Trace for VoiceKv {
    fn trace<'a>(&'a self, tracer: &mut leak_detect::Tracer<'a>) {
        tracer.heap_bytes(usize::try_from(self.size_bytes()).unwrap_or(usize::MAX));
    }
}
