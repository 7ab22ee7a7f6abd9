//! KV caches: keys and values of past positions, in growing pages or in a ring.

mod paged;
mod ring;

pub(crate) use paged::{KvRow, PAGE_POSITIONS, PagedKv, attend};
pub(crate) use ring::RingKv;

use crate::ops::kernels::Span;
use crate::ops::{Heads, RopeTable};

/// Rotates queries and keys of `qkv` in place, and scales the queries.
fn rotate(qkv: &mut [f32], batch: usize, heads: &Heads, rope: &RopeTable) {
    let width = heads.qkv_width();
    let time = qkv.len() / width / batch;
    for (index, position) in qkv.chunks_exact_mut(width).enumerate() {
        let (queries, rest) = position.split_at_mut(heads.query_width());
        rope.rotate(queries, index / time, index % time);
        rope.rotate(&mut rest[..heads.kv_width()], index / time, index % time);
        for value in queries {
            *value *= heads.scale();
        }
    }
}

/// Keys and values of the positions in `qkv`, one batch row.
fn new_span<'a>(qkv: &'a [f32], heads: &Heads) -> Span<'a> {
    Span {
        keys: &qkv[heads.query_width()..],
        values: &qkv[heads.query_width() + heads.kv_width()..],
        stride: heads.qkv_width(),
        count: qkv.len() / heads.qkv_width(),
    }
}
