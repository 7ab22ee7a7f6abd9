//! What FlowLM remembers of a sequence.

use std::sync::Arc;

use crate::error::Result;
use crate::kv::{KvRow, PagedKv};
use crate::ops::Heads;
use crate::state::StateMemory;
use crate::voice::VoiceKv;

/// Keys and values of one part of a text, after a voice.
#[derive(Debug)]
pub(crate) struct FlowLmState {
    layers: Vec<PagedKv>,
    /// Comes before the pages, and is shared with every other sequence that speaks with it.
    voice: Arc<VoiceKv>,
}

impl FlowLmState {
    pub(super) fn new(
        voice: Arc<VoiceKv>,
        layers: usize,
        heads: &Heads,
        memory: &StateMemory,
    ) -> Result<Self> {
        Ok(Self {
            layers: (0..layers)
                .map(|_| PagedKv::new(heads, memory))
                .collect::<Result<_>>()?,
            voice,
        })
    }

    /// Makes room for `time` more steps in every layer.
    pub(crate) fn reserve(&mut self, time: usize) -> Result<()> {
        self.layers
            .iter_mut()
            .try_for_each(|layer| layer.reserve(time))
    }

    /// The position of the next step.
    pub(super) fn position(&self) -> usize {
        self.voice.len + self.layers.first().map_or(0, PagedKv::len)
    }

    /// One layer, as a row of a batch.
    pub(super) fn row(&mut self, layer: usize) -> KvRow<'_> {
        KvRow {
            kept: &mut self.layers[layer],
            voice: self.voice.layers.get(layer),
        }
    }

    /// The pages of each layer.
    pub(crate) fn layers(&self) -> &[PagedKv] {
        &self.layers
    }
}
