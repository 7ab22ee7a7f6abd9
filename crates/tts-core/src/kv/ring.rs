//! A cache for attention with a window: constant memory however long the stream.

use burn::tensor::Tensor;
use tensor_pool::PooledTensor;

use crate::error::Result;
#[cfg(feature = "flex")]
use crate::ops::flex;
use crate::ops::{Heads, Placement, RopeTable, attention};
use crate::state::StateMemory;

/// The last `context` keys and values of a stream; step `n` lies at `n mod context`.
#[derive(Debug)]
pub(crate) struct RingKv {
    /// `[k/v, batch, context, kv_head, head_dim]`
    ring: PooledTensor<5>,
    context: usize,
    /// Steps seen so far.
    position: usize,
}

impl RingKv {
    /// An empty ring of `context` steps.
    pub(crate) fn new(
        batch: usize,
        context: usize,
        heads: &Heads,
        memory: &StateMemory,
    ) -> Result<Self> {
        let shape = [2, batch, context, heads.kv_heads, heads.head_dim];
        Ok(Self {
            ring: memory.unset(shape, "attention window")?,
            context,
            position: 0,
        })
    }

    /// Numbers that it holds.
    pub(crate) fn numbers(context: usize, heads: &Heads) -> usize {
        2 * context * heads.kv_width()
    }

    /// The ring as it lies in memory.
    #[cfg(test)]
    pub(crate) fn tensor(&self) -> &Tensor<5> {
        &self.ring
    }

    /// Attends from new steps to the window before them and to themselves, then keeps them.
    ///
    /// # Shapes
    ///
    /// `qkv` [batch, time, qkv_width] -> [batch, time, head * head_dim]
    pub(crate) fn attend(
        &mut self,
        qkv: Tensor<3>,
        heads: &Heads,
        rope: &RopeTable,
        placement: &Placement,
    ) -> Tensor<3> {
        let [_, time, _] = qkv.dims();
        #[cfg(feature = "flex")]
        if placement.kernels() {
            let out = self.kernel(qkv, heads, rope);
            self.position += time;
            return out;
        }
        let out = self.portable(qkv, heads, rope, placement);
        self.position += time;
        out
    }

    /// The kept steps as at most two ranges of the ring, oldest first.
    fn kept(&self) -> [std::ops::Range<usize>; 2] {
        let count = self.position.min(self.context);
        let start = (self.position - count) % self.context;
        let head = (start + count).min(self.context);
        [start..head, 0..count - (head - start)]
    }

    /// Where the last steps of `time` new ones go: ranges of new steps, and where each lands.
    fn landing(&self, time: usize) -> [(std::ops::Range<usize>, usize); 2] {
        let first = time.saturating_sub(self.context);
        let start = (self.position + first) % self.context;
        let turn = (first + self.context - start).min(time);
        [(first..turn, start), (turn..time, 0)]
    }

    #[cfg(feature = "flex")]
    fn kernel(&mut self, qkv: Tensor<3>, heads: &Heads, rope: &RopeTable) -> Tensor<3> {
        let [batch, time, width] = qkv.dims();
        let mut qkv = flex::open(qkv);
        let qkv: &mut [f32] = qkv.storage_mut();
        super::rotate(qkv, batch, heads, rope);

        let kv_width = heads.kv_width();
        let side = self.context * kv_width;
        let ([old, young], landing) = (self.kept(), self.landing(time));
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
                let kept = |range: &std::ops::Range<usize>| flex::Span {
                    keys: &keys[range.start * kv_width..range.end * kv_width],
                    values: &values[range.start * kv_width..range.end * kv_width],
                    stride: kv_width,
                    count: range.len(),
                };
                let fresh = super::fresh_span(qkv, heads);
                let spans = [kept(&old), kept(&young), fresh];
                flex::attention(qkv, width, time, &spans, heads, out);
                for (steps, at) in &landing {
                    for (step, at) in steps.clone().zip(*at..) {
                        let from = step * fresh.stride;
                        let to = at * kv_width..(at + 1) * kv_width;
                        keys[to.clone()].copy_from_slice(&fresh.keys[from..from + kv_width]);
                        values[to].copy_from_slice(&fresh.values[from..from + kv_width]);
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
        placement: &Placement,
    ) -> Tensor<3> {
        let device = placement.device();
        let (queries, fresh) = attention::split(qkv, heads, rope, device);
        let [_, batch, time, kv_heads, d] = fresh.dims();
        let mut sequence: Vec<Tensor<5>> = self
            .kept()
            .into_iter()
            .filter(|range| !range.is_empty())
            .map(|range| {
                Tensor::clone(&self.ring).slice([0..2, 0..batch, range, 0..kv_heads, 0..d])
            })
            .collect();
        sequence.push(fresh.clone());
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
        for (steps, at) in self.landing(time) {
            if !steps.is_empty() {
                let place = at..at + steps.len();
                let new = fresh
                    .clone()
                    .slice([0..2, 0..batch, steps, 0..kv_heads, 0..d]);
                self.ring.update(|ring| {
                    ring.slice_assign([0..2, 0..batch, place, 0..kv_heads, 0..d], new)
                });
            }
        }
        Tensor::cat(rows, 0)
    }
}
