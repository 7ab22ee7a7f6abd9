//! A cache that grows by pages: full pages never move and are never copied.

use burn::tensor::Tensor;
use tensor_pool::PagedLease;

use crate::error::Result;
#[cfg(feature = "flex")]
use crate::ops::flex;
use crate::ops::{Heads, Placement, RopeTable, attention};
use crate::state::StateMemory;

/// Steps of one page. At the released models' 12.5 frames a second it lasts 5 s; smaller pages
/// make more spans for attention to walk, larger ones waste more on short texts.
pub(crate) const PAGE_STEPS: usize = 64;

/// The axis of steps in `[k/v, batch, step, kv_head, head_dim]`.
const STEP_AXIS: usize = 2;

/// What one batch row has before its first page: a voice's keys and values in this layer, and
/// padding steps at the start of the pages, which the row does not see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvPrefix<'a> {
    /// `[k/v, 1, length, kv_head, head_dim]`
    pub(crate) voice: Option<&'a Tensor<5>>,
    pub(crate) padding: usize,
}

/// The keys and values of one layer, for a batch whose rows advance together.
#[derive(Debug)]
pub(crate) struct PagedKv {
    /// `[k/v, batch, PAGE_STEPS, kv_head, head_dim]` each
    pages: PagedLease<5>,
}

impl PagedKv {
    /// Nothing yet.
    pub(crate) fn new(batch: usize, heads: &Heads, memory: &StateMemory) -> Result<Self> {
        let page = [2, batch, PAGE_STEPS, heads.kv_heads, heads.head_dim];
        Ok(Self {
            pages: memory.pages(page, STEP_AXIS, "keys and values")?,
        })
    }

    /// Steps written.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The pages as they lie in memory.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> &PagedLease<5> {
        &self.pages
    }

    /// All written steps: `[k/v, batch, len, kv_head, head_dim]`. Copies.
    pub(crate) fn contiguous(&self) -> Option<Tensor<5>> {
        self.pages.contiguous()
    }

    /// Makes room for `time` more steps.
    pub(crate) fn reserve(&mut self, time: usize) -> Result<()> {
        Ok(self.pages.reserve(time)?)
    }

    /// Keeps new steps, for which there is room, then attends from them to each row's whole
    /// sequence.
    ///
    /// # Shapes
    ///
    /// `qkv` [batch, time, qkv_width], one prefix per row -> [batch, time, head * head_dim]
    pub(crate) fn attend(
        &mut self,
        qkv: Tensor<3>,
        prefixes: &[KvPrefix<'_>],
        heads: &Heads,
        rope: &RopeTable,
        placement: &Placement,
    ) -> Tensor<3> {
        debug_assert_eq!(qkv.dims()[0], prefixes.len());
        #[cfg(feature = "flex")]
        if placement.kernels() {
            return self.kernel(qkv, prefixes, heads, rope);
        }
        self.portable(qkv, prefixes, heads, rope, placement)
    }

    #[cfg(feature = "flex")]
    fn kernel(
        &mut self,
        qkv: Tensor<3>,
        prefixes: &[KvPrefix<'_>],
        heads: &Heads,
        rope: &RopeTable,
    ) -> Tensor<3> {
        let [batch, time, width] = qkv.dims();
        let mut qkv = flex::open(qkv);
        let qkv: &mut [f32] = qkv.storage_mut();
        super::rotate(qkv, batch, heads, rope);

        let kv_width = heads.kv_width();
        let side = PAGE_STEPS * kv_width;
        for landing in self.pages.landings(time) {
            flex::edit(&mut self.pages.pages_mut()[landing.page], |page| {
                let (keys, values) = page.split_at_mut(batch * side);
                for (row, qkv) in qkv.chunks_exact(time * width).enumerate() {
                    let fresh = super::fresh_span(qkv, heads);
                    for (offset, step) in landing.steps.clone().enumerate() {
                        let to = row * side + (landing.at + offset) * kv_width;
                        let from = step * fresh.stride;
                        keys[to..to + kv_width].copy_from_slice(&fresh.keys[from..from + kv_width]);
                        values[to..to + kv_width]
                            .copy_from_slice(&fresh.values[from..from + kv_width]);
                    }
                }
            });
        }
        self.pages.advance(time);

        let open = |tensor: &Tensor<5>| flex::open(tensor.clone());
        let pages: Vec<_> = self.pages.pages().iter().map(|page| open(page)).collect();
        let voices: Vec<_> = prefixes
            .iter()
            .map(|prefix| prefix.voice.map(open))
            .collect();
        let mut out = vec![0.0; batch * time * heads.query_width()];
        let rows = qkv
            .chunks_exact(time * width)
            .zip(out.chunks_exact_mut(time * heads.query_width()));
        for (row, (qkv, out)) in rows.enumerate() {
            let voice = voices[row].as_ref().map(|voice| {
                let data: &[f32] = voice.storage();
                let (keys, values) = data.split_at(data.len() / 2);
                flex::Span {
                    keys,
                    values,
                    stride: kv_width,
                    count: keys.len() / kv_width,
                }
            });
            let padding = prefixes[row].padding;
            let written = pages.iter().enumerate().filter_map(|(index, page)| {
                let first = padding.saturating_sub(index * PAGE_STEPS);
                let last = self.pages.written(index).end;
                let data: &[f32] = page.storage();
                let (keys, values) = data.split_at(batch * side);
                (first < last).then(|| {
                    let range = row * side + first * kv_width..row * side + last * kv_width;
                    flex::Span {
                        keys: &keys[range.clone()],
                        values: &values[range],
                        stride: kv_width,
                        count: last - first,
                    }
                })
            });
            let spans: Vec<_> = voice.into_iter().chain(written).collect();
            flex::attention(qkv, width, time, &spans, heads, out);
        }
        flex::tensor(out, [batch, time, heads.query_width()])
    }

    fn portable(
        &mut self,
        qkv: Tensor<3>,
        prefixes: &[KvPrefix<'_>],
        heads: &Heads,
        rope: &RopeTable,
        placement: &Placement,
    ) -> Tensor<3> {
        let device = placement.device();
        let (queries, fresh) = attention::split(qkv, heads, rope, device);
        let [_, batch, time, kv_heads, d] = fresh.dims();
        for landing in self.pages.landings(time) {
            let to = landing.at..landing.at + landing.steps.len();
            let new = fresh
                .clone()
                .slice([0..2, 0..batch, landing.steps, 0..kv_heads, 0..d]);
            self.pages.pages_mut()[landing.page]
                .update(|page| page.slice_assign([0..2, 0..batch, to, 0..kv_heads, 0..d], new));
        }
        self.pages.advance(time);
        let rows = prefixes
            .iter()
            .enumerate()
            .map(|(row, prefix)| {
                let mut sequence: Vec<Tensor<5>> = prefix.voice.cloned().into_iter().collect();
                sequence.extend(self.pages.views(prefix.padding).map(|page| {
                    let [_, _, len, _, _] = page.dims();
                    page.slice([0..2, row..row + 1, 0..len, 0..kv_heads, 0..d])
                }));
                attention::attend(
                    queries
                        .clone()
                        .slice([row..row + 1, 0..time, 0..heads.heads, 0..d]),
                    Tensor::cat(sequence, STEP_AXIS),
                    heads,
                    device,
                )
            })
            .collect();
        Tensor::cat(rows, 0)
    }
}
