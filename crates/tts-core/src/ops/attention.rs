//! Grouped-query attention over a sequence of cached keys and values.

use burn::tensor::{Bool, Device, Tensor, TensorData, activation};

use super::RopeTable;

/// Sizes of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Query heads.
    pub(crate) heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads (Ainslie et al., 2023).
    pub(crate) kv_heads: usize,
    /// Channels of one head.
    pub(crate) head_dim: usize,
    /// Attention window in positions, including the query's own; unlimited if `None`.
    pub(crate) context: Option<usize>,
}

impl Heads {
    /// Channels of all queries of one position.
    pub(crate) fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Channels of all keys (or all values) of one position.
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Channels of queries, keys and values of one position, in the order of the input projection.
    pub(crate) fn qkv_width(&self) -> usize {
        self.query_width() + 2 * self.kv_width()
    }

    /// Factor of the dot products (Vaswani et al., 2017).
    pub(crate) fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// The keys that are visible to query `index` of the last `queries` of `keys` positions.
    pub(crate) fn visible(
        &self,
        index: usize,
        queries: usize,
        keys: usize,
    ) -> std::ops::Range<usize> {
        let end = keys + index + 1 - queries;
        let start = self
            .context
            .map_or(0, |context| end.saturating_sub(context));
        start..end
    }
}

/// Splits the projected input and rotates queries and keys.
///
/// # Shapes
///
/// `qkv` [batch, time, qkv_width] -> queries [batch, time, head, head_dim], keys and values [k/v,
/// batch, time, kv_head, head_dim]
pub(crate) fn split(
    qkv: Tensor<3>,
    heads: &Heads,
    rope: &RopeTable,
    device: &Device,
) -> (Tensor<4>, Tensor<5>) {
    let [batch, time, _] = qkv.dims();
    let (q, kv, d) = (heads.query_width(), heads.kv_width(), heads.head_dim);
    let block = |from: usize, width: usize| {
        qkv.clone()
            .slice([0..batch, 0..time, from..from + width])
            .reshape([batch, time, width / d, d])
    };
    let queries = rope.portable(block(0, q), device);
    let keys = rope.portable(block(q, kv), device);
    let values = block(q + kv, kv);
    (queries, Tensor::stack(vec![keys, values], 0))
}

/// The portable body of attention for one batch row.
///
/// # Shapes
///
/// `queries` [1, time, head, head_dim]: the last `time` positions of the sequence, `kv` [k/v, 1,
/// sequence, kv_head, head_dim] -> [1, time, head * head_dim]
pub(crate) fn attend(
    queries: Tensor<4>,
    kv: Tensor<5>,
    heads: &Heads,
    device: &Device,
) -> Tensor<3> {
    let [_, time, _, d] = queries.dims();
    let [_, _, len, kv_heads, _] = kv.dims();
    let group = heads.heads / kv_heads;
    let side = |index: usize| -> Tensor<4> {
        // [1, head, sequence, head_dim], each head repeated for the query heads that share it
        kv.clone()
            .slice([index..index + 1, 0..1, 0..len, 0..kv_heads, 0..d])
            .reshape([1, len, kv_heads, 1, d])
            .repeat_dim(3, group)
            .reshape([1, len, heads.heads, d])
            .swap_dims(1, 2)
    };
    let scores = queries
        .swap_dims(1, 2)
        .matmul(side(0).swap_dims(2, 3))
        .mul_scalar(heads.scale());
    let hidden: Vec<bool> = (0..time)
        .flat_map(|query| {
            let visible = heads.visible(query, time, len);
            (0..len).map(move |key| !visible.contains(&key))
        })
        .collect();
    let scores = if hidden.contains(&true) {
        let mask = Tensor::<4, Bool>::from_data(TensorData::new(hidden, [1, 1, time, len]), device);
        scores.mask_fill(mask.expand([1, heads.heads, time, len]), f32::NEG_INFINITY)
    } else {
        scores
    };
    activation::softmax(scores, 3)
        .matmul(side(1))
        .swap_dims(1, 2)
        .reshape([1, time, heads.heads * d])
}
