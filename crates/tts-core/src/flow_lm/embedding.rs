//! Tokens to vectors.

use burn::tensor::Tensor;

use crate::config::LookupTableConfig;
use crate::error::Result;
use crate::ops::{Activation, Linear, Placement, tensor_from};
use crate::weights::{RowTable, Scope};

/// A table of token embeddings, with a projection when the table is of low rank.
#[derive(Debug)]
pub(super) struct TextEmbedding {
    table: RowTable,
    projection: Option<Linear>,
    width: usize,
}

impl TextEmbedding {
    pub(super) fn load(
        weights: &Scope<'_>,
        config: &LookupTableConfig,
        placement: &Placement,
    ) -> Result<Self> {
        let projection = match config.rank {
            Some(rank) => Some(Linear::new(
                &weights.floats("proj.weight")?,
                [config.dim, rank],
                None,
                placement,
            )),
            None => None,
        };
        let width = config.rank.unwrap_or(config.dim);
        Ok(Self {
            table: weights.row_table("embed.weight", width)?,
            projection,
            width,
        })
    }

    /// Bytes of the prepared projection; the table stays in its file.
    pub(super) fn bytes(&self) -> usize {
        self.projection.as_ref().map_or(0, Linear::bytes)
    }

    /// -> [1, token, width]
    pub(super) fn forward(&self, tokens: &[u32], placement: &Placement) -> Result<Tensor<3>> {
        let mut rows = Vec::with_capacity(tokens.len() * self.width);
        for token in tokens {
            self.table.push_row(*token as usize, &mut rows)?;
        }
        let rows = tensor_from(rows, [1, tokens.len(), self.width], placement.device());
        Ok(match &self.projection {
            Some(projection) => projection.forward(rows, Activation::Identity),
            None => rows,
        })
    }
}
