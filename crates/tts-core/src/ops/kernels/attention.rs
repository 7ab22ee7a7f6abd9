//! Attention of a few queries over keys and values in several memory blocks.

use rayon::prelude::*;
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};
use rten_vecmath::Softmax;

use crate::ops::{Heads, Rows};

/// Keys and values of adjacent positions of one batch row. Position `i` starts at `i * stride` of
/// both slices and holds all heads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

/// Multiply-adds below which a second thread costs more than it saves: one core does about this many
/// in the 5-10 us that it takes to wake a sleeping worker.
const PARALLEL_FROM: usize = 1 << 18;

/// Attends from the last positions of the sequence in `spans`, for one batch row.
///
/// Each row of `queries` starts with the heads of one position, scaled and rotated; `out` is `[time,
/// head * head_dim]`. Each query adds up its keys in the order of the sequence, so the result
/// does not depend on how the sequence is split into spans, on other queries or on threads.
pub(crate) fn attention(queries: Rows<'_>, spans: &[Span<'_>], heads: &Heads, out: &mut [f32]) {
    let keys: usize = spans.iter().map(|span| span.count).sum();
    let group = heads.heads / heads.kv_heads;
    let head_dim = heads.head_dim;
    let one = |index: usize, out: &mut [f32], scores: &mut Vec<f32>| {
        let (position, head) = (index / heads.heads, index % heads.heads);
        HeadAttention {
            query: &queries.data[position * queries.stride + head * head_dim..][..head_dim],
            spans,
            offset: head / group * head_dim,
            visible: heads.visible(position, queries.count, keys),
            scores,
            out,
        }
        .dispatch();
    };
    let work = queries.count * keys * heads.query_width() * 2;
    if work >= PARALLEL_FROM && rayon::current_num_threads() > 1 {
        out.par_chunks_exact_mut(head_dim)
            .with_min_len(heads.heads.min(4))
            .enumerate()
            .for_each_init(Vec::new, |scores, (index, out)| one(index, out, scores));
    } else {
        let mut scores = Vec::new();
        for (index, out) in out.chunks_exact_mut(head_dim).enumerate() {
            one(index, out, &mut scores);
        }
    }
}

struct HeadAttention<'a> {
    query: &'a [f32],
    spans: &'a [Span<'a>],
    /// Offset of the head within a position.
    offset: usize,
    visible: std::ops::Range<usize>,
    scores: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

impl HeadAttention<'_> {
    /// Calls `each` with the head of every visible position, in order.
    #[inline(always)]
    fn for_each<'s>(
        spans: &'s [Span<'s>],
        visible: &std::ops::Range<usize>,
        side: impl Fn(&Span<'s>) -> &'s [f32],
        range: std::ops::Range<usize>,
        mut each: impl FnMut(&'s [f32]),
    ) {
        let mut start = 0;
        for span in spans {
            let from = visible.start.saturating_sub(start).min(span.count);
            let to = visible.end.saturating_sub(start).min(span.count);
            let data = side(span);
            for position in from..to {
                let at = position * span.stride;
                each(&data[at + range.start..at + range.end]);
            }
            start += span.count;
        }
    }
}

impl SimdOp for HeadAttention<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let ops = isa.f32();
        let lanes = ops.len();
        let Self {
            query,
            spans,
            offset,
            visible,
            scores,
            out,
        } = self;
        let width = query.len();
        scores.clear();
        Self::for_each(
            spans,
            &visible,
            |span| span.keys,
            offset..offset + width,
            #[inline(always)]
            |key| {
                let mut sum = ops.zero();
                let mut at = 0;
                while at + lanes <= width {
                    sum = ops.mul_add(ops.load(&query[at..]), ops.load(&key[at..]), sum);
                    at += lanes;
                }
                if at < width {
                    let (query, _) = ops.load_pad(&query[at..]);
                    let (key, _) = ops.load_pad(&key[at..width]);
                    sum = ops.mul_add(query, key, sum);
                }
                scores.push(ops.sum(sum));
            },
        );
        Softmax::new_mut(scores).eval(isa);

        /// SIMD vectors that are summed in parallel: enough independent sums to hide the latency of
        /// a multiply-add.
        const BLOCK: usize = 4;
        let mut at = 0;
        while at + BLOCK * lanes <= width {
            let mut sums = [ops.zero(); BLOCK];
            let mut weights = scores.iter();
            Self::for_each(
                spans,
                &visible,
                |span| span.values,
                offset + at..offset + at + BLOCK * lanes,
                #[inline(always)]
                |value| {
                    let weight = ops.splat(weights.next().copied().unwrap_or_default());
                    for (block, sum) in sums.iter_mut().enumerate() {
                        *sum = ops.mul_add(weight, ops.load(&value[block * lanes..]), *sum);
                    }
                },
            );
            for (block, sum) in sums.into_iter().enumerate() {
                ops.store(sum, &mut out[at + block * lanes..]);
            }
            at += BLOCK * lanes;
        }
        while at < width {
            let end = (at + lanes).min(width);
            let mut sum = ops.zero();
            let mut weights = scores.iter();
            Self::for_each(
                spans,
                &visible,
                |span| span.values,
                offset + at..offset + end,
                #[inline(always)]
                |value| {
                    let weight = ops.splat(weights.next().copied().unwrap_or_default());
                    let (value, _) = ops.load_pad(value);
                    sum = ops.mul_add(weight, value, sum);
                },
            );
            if end - at == lanes {
                ops.store(sum, &mut out[at..end]);
            } else {
                for (out, value) in out[at..end].iter_mut().zip(rten_simd::Simd::to_array(sum)) {
                    *out = value;
                }
            }
            at = end;
        }
    }
}
