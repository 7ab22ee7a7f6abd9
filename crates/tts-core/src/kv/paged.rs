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

/// The keys and values of one sequence in one layer.
#[derive(Debug)]
pub(crate) struct PagedKv {
    /// `[k/v, 1, PAGE_STEPS, kv_head, head_dim]` each
    pages: PagedLease<5>,
}

/// One row of a batch whose rows are sequences of their own.
#[derive(Debug)]
pub(crate) struct KvRow<'a> {
    /// What the sequence has kept so far.
    pub(crate) kept: &'a mut PagedKv,
    /// What comes before it: a voice's keys and values in this layer, `[k/v, 1, length, kv_head,
    /// head_dim]`.
    pub(crate) voice: Option<&'a Tensor<5>>,
}

impl PagedKv {
    /// Nothing yet.
    pub(crate) fn new(heads: &Heads, memory: &StateMemory) -> Result<Self> {
        let page = [2, 1, PAGE_STEPS, heads.kv_heads, heads.head_dim];
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

    /// All written steps: `[k/v, 1, len, kv_head, head_dim]`. Copies.
    pub(crate) fn contiguous(&self) -> Option<Tensor<5>> {
        self.pages.contiguous()
    }

    /// Makes room for `time` more steps.
    pub(crate) fn reserve(&mut self, time: usize) -> Result<()> {
        Ok(self.pages.reserve(time)?)
    }

    /// Keeps the keys and values of new steps, `qkv` [time, qkv_width].
    #[cfg(feature = "flex")]
    fn keep(&mut self, qkv: &[f32], heads: &Heads) {
        let kv_width = heads.kv_width();
        let fresh = super::fresh_span(qkv, heads);
        for landing in self.pages.landings(fresh.count) {
            flex::edit(&mut self.pages.pages_mut()[landing.page], |page| {
                let (keys, values) = page.split_at_mut(PAGE_STEPS * kv_width);
                for (offset, step) in landing.steps.clone().enumerate() {
                    let to = (landing.at + offset) * kv_width;
                    let from = step * fresh.stride;
                    keys[to..to + kv_width].copy_from_slice(&fresh.keys[from..from + kv_width]);
                    values[to..to + kv_width].copy_from_slice(&fresh.values[from..from + kv_width]);
                }
            });
        }
        self.pages.advance(fresh.count);
    }

    /// As [`Self::keep`], of `[k/v, 1, time, kv_head, head_dim]`.
    fn keep_portable(&mut self, fresh: &Tensor<5>) {
        let [_, _, time, kv_heads, d] = fresh.dims();
        for landing in self.pages.landings(time) {
            let to = landing.at..landing.at + landing.steps.len();
            let new = fresh
                .clone()
                .slice([0..2, 0..1, landing.steps, 0..kv_heads, 0..d]);
            self.pages.pages_mut()[landing.page]
                .update(|page| page.slice_assign([0..2, 0..1, to, 0..kv_heads, 0..d], new));
        }
        self.pages.advance(time);
    }
}

/// Keeps each row's new steps, for which there is room, then attends from them to the row's whole
/// sequence. A row's result does not depend on the other rows.
///
/// # Shapes
///
/// `qkv` [row, time, qkv_width] -> [row, time, head * head_dim]
pub(crate) fn attend(
    rows: &mut [KvRow<'_>],
    qkv: Tensor<3>,
    heads: &Heads,
    rope: &RopeTable,
    placement: &Placement,
) -> Tensor<3> {
    debug_assert_eq!(qkv.dims()[0], rows.len());
    #[cfg(feature = "flex")]
    if placement.kernels() {
        return kernel(rows, qkv, heads, rope);
    }
    portable(rows, qkv, heads, rope, placement)
}

#[cfg(feature = "flex")]
fn kernel(rows: &mut [KvRow<'_>], qkv: Tensor<3>, heads: &Heads, rope: &RopeTable) -> Tensor<3> {
    let [batch, time, width] = qkv.dims();
    let mut qkv = flex::open(qkv);
    let qkv: &mut [f32] = qkv.storage_mut();
    super::rotate(qkv, batch, heads, rope);

    let kv_width = heads.kv_width();
    let open = |tensor: &Tensor<5>| flex::open(tensor.clone());
    let mut out = vec![0.0; batch * time * heads.query_width()];
    let steps = qkv
        .chunks_exact(time * width)
        .zip(out.chunks_exact_mut(time * heads.query_width()));
    for (row, (qkv, out)) in rows.iter_mut().zip(steps) {
        row.kept.keep(qkv, heads);
        let pages = &row.kept.pages;
        let opened: Vec<_> = row
            .voice
            .map(|voice| (open(voice), voice.dims()[STEP_AXIS]))
            .into_iter()
            .chain(
                (pages.pages().iter().enumerate())
                    .map(|(index, page)| (open(page), pages.written(index).len())),
            )
            .filter(|(_, written)| *written > 0)
            .collect();
        let spans: Vec<_> = opened
            .iter()
            .map(|(part, written)| {
                let data: &[f32] = part.storage();
                let (keys, values) = data.split_at(data.len() / 2);
                flex::Span {
                    keys: &keys[..written * kv_width],
                    values: &values[..written * kv_width],
                    stride: kv_width,
                    count: *written,
                }
            })
            .collect();
        flex::attention(qkv, width, time, &spans, heads, out);
    }
    flex::tensor(out, [batch, time, heads.query_width()])
}

fn portable(
    rows: &mut [KvRow<'_>],
    qkv: Tensor<3>,
    heads: &Heads,
    rope: &RopeTable,
    placement: &Placement,
) -> Tensor<3> {
    let device = placement.device();
    let (queries, fresh) = attention::split(qkv, heads, rope, device);
    let [_, _, time, kv_heads, d] = fresh.dims();
    let rows = rows
        .iter_mut()
        .enumerate()
        .map(|(index, row)| {
            let fresh = fresh
                .clone()
                .slice([0..2, index..index + 1, 0..time, 0..kv_heads, 0..d]);
            row.kept.keep_portable(&fresh);
            let sequence: Vec<Tensor<5>> = row
                .voice
                .cloned()
                .into_iter()
                .chain(row.kept.pages.views(0))
                .collect();
            attention::attend(
                queries
                    .clone()
                    .slice([index..index + 1, 0..time, 0..heads.heads, 0..d]),
                Tensor::cat(sequence, STEP_AXIS),
                heads,
                device,
            )
        })
        .collect();
    Tensor::cat(rows, 0)
}
