//! Voices: the keys and values that FlowLM has after it heard somebody speak.

mod file;

pub(crate) use file::VoiceShape;

use std::sync::Arc;

use burn::tensor::Tensor;

/// A voice, placed for one model. Cheap to clone; streams share it.
#[derive(Clone, Debug)]
pub struct Voice {
    pub(crate) kv: Arc<VoiceKv>,
}

/// Keys and values of every layer.
#[derive(Debug)]
pub(crate) struct VoiceKv {
    /// `[k/v, 1, len, kv_head, head_dim]` each
    pub(crate) layers: Vec<Tensor<5>>,
    /// Positions.
    pub(crate) len: usize,
}

impl VoiceKv {
    /// Nobody's voice: nothing was heard.
    pub(crate) fn empty() -> Self {
        Self {
            layers: Vec::new(),
            len: 0,
        }
    }
}

impl Voice {
    /// Positions that the voice takes before each text.
    pub fn positions(&self) -> usize {
        self.kv.len
    }

    /// Whether somebody else holds it too: a clone, or a stream that speaks with it.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.kv) > 1
    }

    /// Whether both are one voice that is there once.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kv, &other.kv)
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        self.kv
            .layers
            .iter()
            .map(|layer| layer.shape().num_elements() * size_of::<f32>())
            .sum()
    }
}
