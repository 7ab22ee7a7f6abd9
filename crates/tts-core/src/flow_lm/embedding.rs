//! Text embedding: tokens to vectors.

use burn::tensor::Tensor;

use crate::config::LookupTableConfig;
use crate::ops::{Activation, Backend, Linear, tensor_from};
use crate::weights::{Loader, RowTable, WeightsError};

/// A table of token embeddings, with a projection if the table is of low rank.
#[derive(Debug)]
pub(super) struct TextEmbedding {
    table: RowTable,
    projection: Option<Linear>,
    width: usize,
}

impl TextEmbedding {
    /// Loads `embed` and, for a table of low rank, `proj`.
    pub(super) fn load(
        loader: &Loader<'_>,
        config: &LookupTableConfig,
    ) -> Result<Self, WeightsError> {
        let width = config.rank.unwrap_or(config.dim);
        let table = loader.row_table("embed", [config.n_bins + 1, width])?;
        let projection = match config.rank {
            Some(rank) => Some(loader.linear("proj", [config.dim, rank])?),
            None => None,
        };
        Ok(Self {
            table,
            projection,
            width,
        })
    }

    /// Embeds tokens.
    ///
    /// # Shapes
    ///
    /// -> [1, token, width]
    ///
    /// # Errors
    ///
    /// A token is not in the table.
    pub(super) fn forward(
        &self,
        tokens: &[u32],
        backend: &Backend,
    ) -> Result<Tensor<3>, WeightsError> {
        let mut rows = Vec::with_capacity(tokens.len() * self.width);
        for token in tokens {
            self.table.push_row(*token as usize, &mut rows)?;
        }
        let rows = tensor_from(rows, [1, tokens.len(), self.width], backend.device());
        Ok(match &self.projection {
            Some(projection) => projection.forward(rows, Activation::Identity),
            None => rows,
        })
    }
}
