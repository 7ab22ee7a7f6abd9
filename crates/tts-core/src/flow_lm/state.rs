//! What FlowLM remembers of a stream.

use std::sync::Arc;

use crate::error::Result;
use crate::kv::PagedKv;
use crate::ops::Heads;
use crate::state::StateMemory;
use crate::voice::VoiceKv;

/// Keys and values of a batch of streams that advance together.
#[derive(Debug)]
pub(crate) struct FlowLmState {
    pub(super) layers: Vec<PagedKv>,
    pub(super) rows: Vec<Row>,
}

/// One stream of the batch.
#[derive(Debug)]
pub(super) struct Row {
    /// Comes before the pages, and is shared with every other stream that speaks with it.
    pub(super) voice: Arc<VoiceKv>,
    /// Steps at the start of the pages that are not the row's.
    pub(super) padding: usize,
}

impl FlowLmState {
    pub(super) fn new(
        voices: Vec<Arc<VoiceKv>>,
        layers: usize,
        heads: &Heads,
        memory: &StateMemory,
    ) -> Result<Self> {
        Ok(Self {
            layers: (0..layers)
                .map(|_| PagedKv::new(voices.len(), heads, memory))
                .collect::<Result<_>>()?,
            rows: voices
                .into_iter()
                .map(|voice| Row { voice, padding: 0 })
                .collect(),
        })
    }

    /// Makes room for `time` more steps in every layer.
    pub(super) fn reserve(&mut self, time: usize) -> Result<()> {
        self.layers
            .iter_mut()
            .try_for_each(|layer| layer.reserve(time))
    }

    pub(super) fn set_padding(&mut self, row: usize, padding: usize) {
        self.rows[row].padding = padding;
    }

    /// Each row's position of the next step; negative where that step is padding.
    pub(super) fn next_positions(&self) -> Vec<isize> {
        let written = self.layers.first().map_or(0, PagedKv::len) as isize;
        self.rows
            .iter()
            .map(|row| row.voice.len as isize + written - row.padding as isize)
            .collect()
    }

    /// The pages of each layer.
    pub(crate) fn layers(&self) -> &[PagedKv] {
        &self.layers
    }
}
