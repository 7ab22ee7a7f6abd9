//! A cache that grows by pages: full pages never move and are never copied.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::ops::flex;
use crate::ops::{Heads, Placement, RopeTable, attention, tensor_from};

/// Steps of one page. At the released models' 12.5 frames a second it lasts 5 s; smaller pages
/// make more spans for attention to walk, larger ones waste more on short texts.
pub(crate) const PAGE_STEPS: usize = 64;

/// What one batch row has before its first page: a voice's keys and values in this layer, and
/// padding steps at the start of the pages, which the row does not see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvPrefix<'a> {
    /// `[k/v, 1, length, kv_head, head_dim]`
    pub(crate) voice: Option<&'a Tensor<5>>,
    pub(crate) padding: usize,
}

/// The keys and values of one layer, for a batch whose rows advance together.
#[derive(Debug, Default)]
pub(crate) struct PagedKv {
    /// `[k/v, batch, PAGE_STEPS, kv_head, head_dim]` each
    pages: Vec<Tensor<5>>,
    /// Steps written.
    len: usize,
}

impl PagedKv {
    /// Steps written.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The pages as they lie in memory.
    #[cfg(test)]
    pub(crate) fn pages(&self) -> &[Tensor<5>] {
        &self.pages
    }

    /// All written steps: `[k/v, batch, len, kv_head, head_dim]`. Copies.
    pub(crate) fn contiguous(&self) -> Option<Tensor<5>> {
        (self.len > 0).then(|| Tensor::cat(self.written(0), 2))
    }

    /// The written part of the pages from step `from` on.
    fn written(&self, from: usize) -> Vec<Tensor<5>> {
        self.pages
            .iter()
            .enumerate()
            .filter_map(|(index, page)| {
                let start = index * PAGE_STEPS;
                let first = from.saturating_sub(start);
                let last = (self.len - start).min(PAGE_STEPS);
                let [_, batch, _, kv_heads, d] = page.dims();
                (first < last).then(|| {
                    page.clone()
                        .slice([0..2, 0..batch, first..last, 0..kv_heads, 0..d])
                })
            })
            .collect()
    }

    /// Keeps new steps, then attends from them to each row's whole sequence.
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
        let [batch, time, _] = qkv.dims();
        debug_assert_eq!(batch, prefixes.len());
        while self.pages.len() * PAGE_STEPS < self.len + time {
            let shape = [2, batch, PAGE_STEPS, heads.kv_heads, heads.head_dim];
            self.pages.push(tensor_from(
                vec![0.0; shape.iter().product()],
                shape,
                placement.device(),
            ));
        }
        #[cfg(feature = "flex")]
        if placement.kernels() {
            return self.kernel(qkv, prefixes, heads, rope);
        }
        self.portable(qkv, prefixes, heads, rope, placement)
    }

    /// Ranges of `time` new steps, each with the page and the step in it where it lands.
    fn landing(
        &self,
        time: usize,
    ) -> impl Iterator<Item = (std::ops::Range<usize>, usize, usize)> + use<> {
        let start = self.len;
        let mut done = 0;
        std::iter::from_fn(move || {
            let at = start + done;
            let (page, step) = (at / PAGE_STEPS, at % PAGE_STEPS);
            let count = (PAGE_STEPS - step).min(time - done);
            let range = done..done + count;
            done += count;
            (count > 0).then_some((range, page, step))
        })
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
        let mut pages: Vec<_> = std::mem::take(&mut self.pages)
            .into_iter()
            .map(flex::open)
            .collect();
        for (steps, page, at) in self.landing(time) {
            let data: &mut [f32] = pages[page].storage_mut();
            let (keys, values) = data.split_at_mut(batch * side);
            for (row, qkv) in qkv.chunks_exact(time * width).enumerate() {
                let fresh = super::fresh_span(qkv, heads);
                for (offset, step) in steps.clone().enumerate() {
                    let to = row * side + (at + offset) * kv_width;
                    let from = step * fresh.stride;
                    keys[to..to + kv_width].copy_from_slice(&fresh.keys[from..from + kv_width]);
                    values[to..to + kv_width].copy_from_slice(&fresh.values[from..from + kv_width]);
                }
            }
        }
        self.len += time;

        let voices: Vec<_> = prefixes
            .iter()
            .map(|prefix| prefix.voice.cloned().map(flex::open))
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
                let start = index * PAGE_STEPS;
                let first = padding.saturating_sub(start);
                let last = (self.len - start).min(PAGE_STEPS);
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
        self.pages = pages.into_iter().map(flex::close).collect();
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
        for (steps, page, at) in self.landing(time) {
            let place = at..at + steps.len();
            let new = fresh
                .clone()
                .slice([0..2, 0..batch, steps, 0..kv_heads, 0..d]);
            let empty = tensor_from(vec![0.0], [1; 5], device);
            let old = std::mem::replace(&mut self.pages[page], empty);
            self.pages[page] = old.slice_assign([0..2, 0..batch, place, 0..kv_heads, 0..d], new);
        }
        self.len += time;
        let rows = prefixes
            .iter()
            .enumerate()
            .map(|(row, prefix)| {
                let mut sequence: Vec<Tensor<5>> = prefix.voice.cloned().into_iter().collect();
                sequence.extend(self.written(prefix.padding).into_iter().map(|page| {
                    let [_, _, len, _, _] = page.dims();
                    page.slice([0..2, row..row + 1, 0..len, 0..kv_heads, 0..d])
                }));
                attention::attend(
                    queries
                        .clone()
                        .slice([row..row + 1, 0..time, 0..heads.heads, 0..d]),
                    Tensor::cat(sequence, 2),
                    heads,
                    device,
                )
            })
            .collect();
        Tensor::cat(rows, 0)
    }
}
