//! The state of a FlowLM sequence.

use std::sync::Arc;

use crate::error::Result;
use crate::kv::{KvRow, PagedKv};
use crate::ops::Heads;
use crate::state::StateMemory;
use crate::voice::VoiceKv;

/// The KV cache of one segment of a text, after a voice.
#[derive(Debug)]
pub(crate) struct FlowLmState {
    layers: Vec<PagedKv>,
    /// Precedes the pages; shared between all sequences with this voice.
    voice: Arc<VoiceKv>,
}

impl FlowLmState {
    /// An empty state after `voice`.
    pub(super) fn new(
        voice: Arc<VoiceKv>,
        layers: usize,
        heads: &Heads,
        memory: &StateMemory,
    ) -> Result<Self> {
        Ok(Self {
            layers: (0..layers)
                .map(|_| PagedKv::new(heads, memory))
                .collect::<Result<_, _>>()?,
            voice,
        })
    }

    /// Reserves room for `time` more positions in every layer.
    pub(crate) fn reserve(&mut self, time: usize) -> Result<()> {
        self.layers
            .iter_mut()
            .try_for_each(|layer| layer.reserve(time))?;
        Ok(())
    }

    /// The next position.
    pub(super) fn position(&self) -> usize {
        self.voice.len + self.layers.first().map_or(0, PagedKv::len)
    }

    /// One layer as a row of a batch.
    pub(super) fn row(&mut self, layer: usize) -> KvRow<'_> {
        KvRow {
            cache: &mut self.layers[layer],
            voice: self.voice.layers.get(layer),
        }
    }

    /// The KV cache of each layer.
    #[cfg(test)]
    pub(crate) fn layers(&self) -> &[PagedKv] {
        &self.layers
    }
}
