//! Keys and values that attention has seen: growing by pages, or in a ring.

mod paged;
mod ring;

pub(crate) use paged::{KvRow, PAGE_STEPS, PagedKv, attend};
pub(crate) use ring::RingKv;

#[cfg(feature = "flex")]
use crate::ops::{Heads, RopeTable, flex};

/// Rotates queries and keys of `qkv` in place, and scales the queries.
#[cfg(feature = "flex")]
fn rotate(qkv: &mut [f32], batch: usize, heads: &Heads, rope: &RopeTable) {
    let width = heads.qkv_width();
    let time = qkv.len() / width / batch;
    for (index, step) in qkv.chunks_exact_mut(width).enumerate() {
        let (queries, rest) = step.split_at_mut(heads.query_width());
        rope.rotate(queries, index / time, index % time);
        rope.rotate(&mut rest[..heads.kv_width()], index / time, index % time);
        for value in queries {
            *value *= heads.scale();
        }
    }
}

/// Keys and values of the steps in `qkv`, one batch row.
#[cfg(feature = "flex")]
fn fresh_span<'a>(qkv: &'a [f32], heads: &Heads) -> flex::Span<'a> {
    flex::Span {
        keys: &qkv[heads.query_width()..],
        values: &qkv[heads.query_width() + heads.kv_width()..],
        stride: heads.qkv_width(),
        count: qkv.len() / heads.qkv_width(),
    }
}
