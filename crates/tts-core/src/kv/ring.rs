//! A KV cache for windowed attention: constant memory for streams of any length.

use std::ops::Range;

use burn::tensor::Tensor;
use tensor_pool::PooledTensor;

use crate::ledger::ATTENTION_WINDOW_TAG;
use crate::ops::flex::{self, HostTensor};
use crate::ops::kernels::{self, Span};
use crate::ops::{Backend, Heads, RopeTable, Rows, attention};
use crate::state::StateMemory;

/// Keys and values of the last `context` positions. Position `n` is stored at `n mod context`.
#[derive(Debug)]
pub(crate) struct RingKv {
    /// `[k/v, batch, context, kv_head, head_dim]`
    ring: PooledTensor<5>,
    context: usize,
    /// The next position.
    position: usize,
}

impl RingKv {
    /// An empty ring of `context` positions.
    pub(crate) fn new(
        batch: usize,
        context: usize,
        heads: &Heads,
        memory: &StateMemory,
    ) -> Result<Self, tensor_pool::Error> {
        let shape = [2, batch, context, heads.kv_heads, heads.head_dim];
        Ok(Self {
            ring: memory.uninitialised(shape, ATTENTION_WINDOW_TAG)?,
            context,
            position: 0,
        })
    }

    /// Elements of the ring of one stream.
    pub(crate) fn elements(context: usize, heads: &Heads) -> usize {
        2 * context * heads.kv_width()
    }

    /// Converts a ring without further positions into its tensor, `[k/v, batch, context, kv_head,
    /// head_dim]`. The tensor leaves the pool.
    pub(crate) fn into_tensor(self) -> Tensor<5> {
        self.ring.detach()
    }

    /// The ring in memory.
    #[cfg(all(test, feature = "flex"))]
    pub(crate) fn tensor(&self) -> &Tensor<5> {
        &self.ring
    }

    /// Attends from new positions to the window before them and to themselves, then stores them.
    ///
    /// # Shapes
    ///
    /// `qkv` [batch, time, qkv_width] -> [batch, time, head * head_dim]
    pub(crate) fn attend(
        &mut self,
        qkv: Tensor<3>,
        heads: &Heads,
        rope: &RopeTable,
        backend: &Backend,
    ) -> Tensor<3> {
        let [_, time, _] = qkv.dims();
        let out = if backend.uses_kernels() {
            self.kernel(qkv, heads, rope)
        } else {
            self.portable(qkv, heads, rope, backend)
        };
        self.position += time;
        out
    }

    /// The stored positions as at most two ranges of the ring, oldest first.
    fn stored(&self) -> [Range<usize>; 2] {
        let count = self.position.min(self.context);
        let start = (self.position - count) % self.context;
        let head = (start + count).min(self.context);
        [start..head, 0..count - (head - start)]
    }

    /// Where the last of `time` new positions are stored: ranges of new positions, each with its start
    /// in the ring.
    fn landing(&self, time: usize) -> [(Range<usize>, usize); 2] {
        let first = time.saturating_sub(self.context);
        let start = (self.position + first) % self.context;
        let turn = (first + self.context - start).min(time);
        [(first..turn, start), (turn..time, 0)]
    }

    fn kernel(&mut self, qkv: Tensor<3>, heads: &Heads, rope: &RopeTable) -> Tensor<3> {
        let [batch, time, width] = qkv.dims();
        let mut qkv = HostTensor::new(qkv);
        let qkv = qkv.values_mut();
        super::rotate(qkv, batch, heads, rope);

        let kv_width = heads.kv_width();
        let side = self.context * kv_width;
        let ([older, newer], landing) = (self.stored(), self.landing(time));
        let mut out = vec![0.0; batch * time * heads.query_width()];
        flex::edit(&mut self.ring, |ring| {
            let (keys, values) = ring.split_at_mut(batch * side);
            let rows = qkv
                .chunks_exact(time * width)
                .zip(out.chunks_exact_mut(time * heads.query_width()))
                .zip(
                    keys.chunks_exact_mut(side)
                        .zip(values.chunks_exact_mut(side)),
                );
            for ((qkv, out), (keys, values)) in rows {
                let stored = |range: &Range<usize>| Span {
                    keys: &keys[range.start * kv_width..range.end * kv_width],
                    values: &values[range.start * kv_width..range.end * kv_width],
                    stride: kv_width,
                    count: range.len(),
                };
                let new = super::new_span(qkv, heads);
                let spans = [stored(&older), stored(&newer), new];
                let queries = Rows {
                    data: qkv,
                    count: time,
                    stride: width,
                };
                kernels::attention(queries, &spans, heads, out);
                for (positions, at) in &landing {
                    for (position, at) in positions.clone().zip(*at..) {
                        let from = position * new.stride;
                        let to = at * kv_width..(at + 1) * kv_width;
                        keys[to.clone()].copy_from_slice(&new.keys[from..from + kv_width]);
                        values[to].copy_from_slice(&new.values[from..from + kv_width]);
                    }
                }
            }
        });
        flex::tensor(out, [batch, time, heads.query_width()])
    }

    fn portable(
        &mut self,
        qkv: Tensor<3>,
        heads: &Heads,
        rope: &RopeTable,
        backend: &Backend,
    ) -> Tensor<3> {
        let device = backend.device();
        let (queries, new) = attention::split(qkv, heads, rope, device);
        let [_, batch, time, kv_heads, d] = new.dims();
        let mut sequence: Vec<Tensor<5>> = self
            .stored()
            .into_iter()
            .filter(|range| !range.is_empty())
            .map(|range| {
                Tensor::clone(&self.ring).slice([0..2, 0..batch, range, 0..kv_heads, 0..d])
            })
            .collect();
        sequence.push(new.clone());
        let sequence = Tensor::cat(sequence, 2);
        let [_, _, len, _, _] = sequence.dims();
        let rows = (0..batch)
            .map(|row| {
                attention::attend(
                    queries
                        .clone()
                        .slice([row..row + 1, 0..time, 0..heads.heads, 0..d]),
                    sequence
                        .clone()
                        .slice([0..2, row..row + 1, 0..len, 0..kv_heads, 0..d]),
                    heads,
                    device,
                )
            })
            .collect();
        for (positions, at) in self.landing(time) {
            if !positions.is_empty() {
                let place = at..at + positions.len();
                let new = new
                    .clone()
                    .slice([0..2, 0..batch, positions, 0..kv_heads, 0..d]);
                self.ring.update(|ring| {
                    ring.slice_assign([0..2, 0..batch, place, 0..kv_heads, 0..d], new)
                });
            }
        }
        Tensor::cat(rows, 0)
    }
}
