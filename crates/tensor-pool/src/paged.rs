//! Sequences that grow without moving.

use std::ops::Range;

use burn::tensor::kind::Basic;
use burn::tensor::{Float, Tensor};

use crate::error::{Error, Result};
use crate::{MemoryPool, PooledTensor, TensorRequest};

/// A sequence in equal pages, each a leased tensor, that grows along one axis.
///
/// Appending writes into the last page and leases the next when that is full; a page never moves
/// and is never copied, however long the sequence gets. The method is that of PagedAttention (Kwon
/// et al., 2023), for one sequence or for a batch whose rows grow together.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::{DType, Device, Tensor};
/// use tensor_pool::{MemoryPool, PagedLease, TensorRequest};
///
/// let device = Device::flex();
/// let pool = MemoryPool::default();
/// // [step, channel], 4 steps a page
/// let page = TensorRequest::new([4, 2], DType::F32, &device).tag("kv");
/// let mut sequence = PagedLease::new(&pool, page, 0)?;
/// for _ in 0..3 {
///     sequence.append(Tensor::<2>::ones([2, 2], &device))?;
/// }
/// assert_eq!((sequence.len(), sequence.pages().len()), (6, 2));
/// assert_eq!(sequence.contiguous().unwrap().dims(), [6, 2]);
/// # }
/// # Ok::<(), tensor_pool::Error>(())
/// ```
#[derive(Debug)]
pub struct PagedLease<const D: usize, K: Basic = Float> {
    pool: MemoryPool,
    page: TensorRequest<D, K>,
    page_bytes: u64,
    axis: usize,
    pages: Vec<PooledTensor<D, K>>,
    len: usize,
}

/// Where a run of new steps goes: all of them in one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Which of the new steps.
    pub steps: Range<usize>,
    /// The page's index.
    pub page: usize,
    /// The step of the page where the first of them goes.
    pub at: usize,
}

impl<const D: usize, K: Basic> PagedLease<D, K> {
    /// An empty sequence whose pages are leased from `pool` as `page` says, and that grows along
    /// `axis`. Leases nothing yet.
    ///
    /// # Errors
    ///
    /// There is no such axis, or such a page cannot be leased from any pool.
    pub fn new(pool: &MemoryPool, page: TensorRequest<D, K>, axis: usize) -> Result<Self> {
        if axis >= D {
            return Err(Error::NoSuchAxis {
                page: page.shape().to_vec(),
                axis,
            });
        }
        Ok(Self {
            pool: pool.clone(),
            page_bytes: page.check()?,
            page,
            axis,
            pages: Vec::new(),
            len: 0,
        })
    }

    /// Steps written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no step was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Steps that fit one page.
    #[must_use]
    pub fn page_len(&self) -> usize {
        self.page.shape()[self.axis]
    }

    /// Steps that fit the pages there are.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pages.len() * self.page_len()
    }

    /// What one page takes, and so what the step after [`capacity`](Self::capacity) will ask for.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    /// What it would take to append `steps` more.
    #[must_use]
    pub fn append_bytes(&self, steps: usize) -> u64 {
        self.page_bytes.saturating_mul(self.missing(steps) as u64)
    }

    /// Leases the pages that `steps` more need: appending them cannot fail then.
    ///
    /// # Errors
    ///
    /// A page cannot be had; those that could are kept.
    pub fn reserve(&mut self, steps: usize) -> Result<()> {
        for _ in 0..self.missing(steps) {
            self.pages.push(self.pool.lease(self.page.clone())?);
        }
        Ok(())
    }

    fn missing(&self, steps: usize) -> usize {
        let pages = self.len.saturating_add(steps).div_ceil(self.page_len());
        pages.saturating_sub(self.pages.len())
    }

    /// Appends steps; copies them into the pages and nothing else.
    ///
    /// # Errors
    ///
    /// The values' shape differs from a page's on another axis, or a page cannot be had; nothing
    /// was appended then.
    pub fn append(&mut self, values: Tensor<D, K>) -> Result<()> {
        let shape = values.dims();
        let mut expected = self.page.shape();
        expected[self.axis] = shape[self.axis];
        if shape != expected {
            return Err(Error::WrongShape {
                found: shape.to_vec(),
                page: self.page.shape().to_vec(),
                axis: self.axis,
            });
        }
        let steps = shape[self.axis];
        self.reserve(steps)?;
        let axis = self.axis;
        for Landing { steps, page, at } in self.landings(steps) {
            let mut from = shape.map(|axis| 0..axis);
            let mut to = from.clone();
            to[axis] = at..at + steps.len();
            from[axis] = steps;
            let values = values.clone().slice(from);
            self.pages[page].update(|page| page.slice_assign(to, values));
        }
        self.len += steps;
        Ok(())
    }

    /// Where `steps` more steps go, for kernels that write them into the pages themselves.
    pub fn landings(&self, steps: usize) -> impl Iterator<Item = Landing> + use<D, K> {
        let (start, page_len) = (self.len, self.page_len());
        let mut done = 0;
        std::iter::from_fn(move || {
            let (page, at) = ((start + done) / page_len, (start + done) % page_len);
            let count = (page_len - at).min(steps - done);
            let range = done..done + count;
            done += count;
            (count > 0).then_some(Landing {
                steps: range,
                page,
                at,
            })
        })
    }

    /// The pages as they lie in memory, the last one perhaps partly written.
    #[must_use]
    pub fn pages(&self) -> &[PooledTensor<D, K>] {
        &self.pages
    }

    /// The same, to write into; [`advance`](Self::advance) then makes the new steps count.
    pub fn pages_mut(&mut self) -> &mut [PooledTensor<D, K>] {
        &mut self.pages
    }

    /// Counts `steps` more as written.
    ///
    /// # Panics
    ///
    /// If the pages do not hold so many.
    pub fn advance(&mut self, steps: usize) {
        assert!(
            self.len + steps <= self.capacity(),
            "{steps} steps after {} are more than the pages' {}",
            self.len,
            self.capacity()
        );
        self.len += steps;
    }

    /// The steps of page `page` that were written, counted from the page's start.
    #[must_use]
    pub fn written(&self, page: usize) -> Range<usize> {
        0..self
            .len
            .saturating_sub(page * self.page_len())
            .min(self.page_len())
    }

    /// The steps from `from` on, as views of the pages.
    pub fn views(&self, from: usize) -> impl Iterator<Item = Tensor<D, K>> + '_ {
        self.pages
            .iter()
            .enumerate()
            .filter_map(move |(index, page)| {
                let first = from.saturating_sub(index * self.page_len());
                let last = self.written(index).end;
                let mut range = page.dims().map(|axis| 0..axis);
                range[self.axis] = first..last;
                (first < last).then(|| Tensor::clone(page).slice(range))
            })
    }

    /// The whole sequence in one tensor, which is a copy; `None` while it is empty.
    #[must_use]
    pub fn contiguous(&self) -> Option<Tensor<D, K>> {
        let views: Vec<_> = self.views(0).collect();
        (!views.is_empty()).then(|| Tensor::cat(views, self.axis))
    }

    /// Forgets every step and returns the pages.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.len = 0;
    }
}
