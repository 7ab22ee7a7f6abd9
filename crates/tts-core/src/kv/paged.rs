//! A KV cache that grows by pages. Full pages are never moved or copied.

use burn::tensor::Tensor;
use tensor_pool::PagedLease;

use crate::ledger::KV_CACHE_TAG;
use crate::ops::flex::{self, HostTensor};
use crate::ops::kernels::{self, Span};
use crate::ops::{Backend, Heads, RopeTable, Rows, attention};
use crate::state::StateMemory;

/// Positions of one page: 5 s at the released models' 12.5 frames per second. Smaller pages add spans
/// to every attention call, larger pages waste more memory on short texts.
pub(crate) const PAGE_POSITIONS: usize = 64;

/// The axis of positions in `[k/v, batch, position, kv_head, head_dim]`.
const POSITION_AXIS: usize = 2;

/// The KV cache of one sequence in one layer.
#[derive(Debug)]
pub(crate) struct PagedKv {
    /// `[k/v, 1, PAGE_POSITIONS, kv_head, head_dim]` each
    pages: PagedLease<5>,
}

/// One row of a batch in which every row is a sequence of its own.
#[derive(Debug)]
pub(crate) struct KvRow<'a> {
    /// The sequence's cache.
    pub(crate) cache: &'a mut PagedKv,
    /// Keys and values before the cache: those of a voice in this layer, `[k/v, 1, length, kv_head,
    /// head_dim]`.
    pub(crate) voice: Option<&'a Tensor<5>>,
}

impl PagedKv {
    /// An empty cache.
    pub(crate) fn new(heads: &Heads, memory: &StateMemory) -> Result<Self, tensor_pool::Error> {
        let page = [2, 1, PAGE_POSITIONS, heads.kv_heads, heads.head_dim];
        Ok(Self {
            pages: memory.pages(page, POSITION_AXIS, KV_CACHE_TAG)?,
        })
    }

    /// Positions written.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// The pages in memory.
    #[cfg(all(test, feature = "flex"))]
    pub(crate) fn pages(&self) -> &PagedLease<5> {
        &self.pages
    }

    /// Copies all written positions: `[k/v, 1, len, kv_head, head_dim]`.
    #[cfg(test)]
    pub(crate) fn contiguous(&self) -> Option<Tensor<5>> {
        self.pages.contiguous()
    }

    /// Reserves room for `time` more positions.
    pub(crate) fn reserve(&mut self, time: usize) -> Result<(), tensor_pool::Error> {
        self.pages.reserve(time)
    }

    /// Appends keys and values of new positions, `qkv` [time, qkv_width].
    fn append(&mut self, qkv: &[f32], heads: &Heads) {
        let kv_width = heads.kv_width();
        let new = super::new_span(qkv, heads);
        for run in self.pages.runs(new.count) {
            flex::edit(&mut self.pages.pages_mut()[run.page], |page| {
                let (keys, values) = page.split_at_mut(PAGE_POSITIONS * kv_width);
                for (index, position) in run.positions.clone().enumerate() {
                    let to = (run.offset + index) * kv_width;
                    let from = position * new.stride;
                    keys[to..to + kv_width].copy_from_slice(&new.keys[from..from + kv_width]);
                    values[to..to + kv_width].copy_from_slice(&new.values[from..from + kv_width]);
                }
            });
        }
        self.pages.advance(new.count);
    }

    /// Appends `[k/v, 1, time, kv_head, head_dim]`, as [`Self::append`] does.
    fn append_portable(&mut self, new: &Tensor<5>) {
        let [_, _, time, kv_heads, d] = new.dims();
        for run in self.pages.runs(time) {
            let to = run.offset..run.offset + run.positions.len();
            let new = new
                .clone()
                .slice([0..2, 0..1, run.positions, 0..kv_heads, 0..d]);
            self.pages.pages_mut()[run.page]
                .update(|page| page.slice_assign([0..2, 0..1, to, 0..kv_heads, 0..d], new));
        }
        self.pages.advance(time);
    }
}

/// Appends each row's new positions, for which room must be reserved, then attends from them to the
/// row's whole sequence. The result of a row does not depend on the other rows.
///
/// # Shapes
///
/// `qkv` [row, time, qkv_width] -> [row, time, head * head_dim]
pub(crate) fn attend(
    rows: &mut [KvRow<'_>],
    qkv: Tensor<3>,
    heads: &Heads,
    rope: &RopeTable,
    backend: &Backend,
) -> Tensor<3> {
    debug_assert_eq!(qkv.dims()[0], rows.len());
    if backend.uses_kernels() {
        kernel(rows, qkv, heads, rope)
    } else {
        portable(rows, qkv, heads, rope, backend)
    }
}

fn kernel(rows: &mut [KvRow<'_>], qkv: Tensor<3>, heads: &Heads, rope: &RopeTable) -> Tensor<3> {
    let [batch, time, width] = qkv.dims();
    let mut qkv = HostTensor::new(qkv);
    let qkv = qkv.values_mut();
    super::rotate(qkv, batch, heads, rope);

    let kv_width = heads.kv_width();
    let open = |tensor: &Tensor<5>| HostTensor::new(tensor.clone());
    let mut out = vec![0.0; batch * time * heads.query_width()];
    let inputs = qkv
        .chunks_exact(time * width)
        .zip(out.chunks_exact_mut(time * heads.query_width()));
    for (row, (qkv, out)) in rows.iter_mut().zip(inputs) {
        row.cache.append(qkv, heads);
        let pages = &row.cache.pages;
        let blocks: Vec<_> = row
            .voice
            .map(|voice| (open(voice), voice.dims()[POSITION_AXIS]))
            .into_iter()
            .chain(
                (pages.pages().iter().enumerate())
                    .map(|(index, page)| (open(page), pages.written(index).len())),
            )
            .filter(|(_, written)| *written > 0)
            .collect();
        let spans: Vec<_> = blocks
            .iter()
            .map(|(block, written)| {
                let data = block.values();
                let (keys, values) = data.split_at(data.len() / 2);
                Span {
                    keys: &keys[..written * kv_width],
                    values: &values[..written * kv_width],
                    stride: kv_width,
                    count: *written,
                }
            })
            .collect();
        let queries = Rows {
            data: qkv,
            count: time,
            stride: width,
        };
        kernels::attention(queries, &spans, heads, out);
    }
    flex::tensor(out, [batch, time, heads.query_width()])
}

fn portable(
    rows: &mut [KvRow<'_>],
    qkv: Tensor<3>,
    heads: &Heads,
    rope: &RopeTable,
    backend: &Backend,
) -> Tensor<3> {
    let device = backend.device();
    let (queries, new) = attention::split(qkv, heads, rope, device);
    let [_, _, time, kv_heads, d] = new.dims();
    let rows = rows
        .iter_mut()
        .enumerate()
        .map(|(index, row)| {
            let new = new
                .clone()
                .slice([0..2, index..index + 1, 0..time, 0..kv_heads, 0..d]);
            row.cache.append_portable(&new);
            let sequence: Vec<Tensor<5>> = row
                .voice
                .cloned()
                .into_iter()
                .chain(row.cache.pages.views(0))
                .collect();
            attention::attend(
                queries
                    .clone()
                    .slice([index..index + 1, 0..time, 0..heads.heads, 0..d]),
                Tensor::cat(sequence, POSITION_AXIS),
                heads,
                device,
            )
        })
        .collect();
    Tensor::cat(rows, 0)
}
