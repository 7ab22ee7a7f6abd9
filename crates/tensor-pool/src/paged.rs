//! Sequences that grow by pages, without reallocation.

use std::ops::Range;

use burn::tensor::kind::Basic;
use burn::tensor::{Float, Tensor};

use crate::error::{Error, Result};
use crate::{MemoryPool, PooledTensor, TensorRequest};

/// A sequence that grows along one axis and is stored in equal pages, each a leased tensor.
///
/// Appending writes into the last page and leases the next page when the last one is full. A page
/// is never moved or copied, however long the sequence becomes. The method follows PagedAttention
/// (Kwon et al., 2023), for one sequence or for a batch whose rows grow together.
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
/// // [position, channel], 4 positions per page
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

/// A run of appended positions that is stored in one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRun {
    /// The range within the appended positions.
    pub positions: Range<usize>,
    /// The index of the page.
    pub page: usize,
    /// The position within the page where the run starts.
    pub offset: usize,
}

impl<const D: usize, K: Basic> PagedLease<D, K> {
    /// Creates an empty sequence that grows along `axis`. Its pages are leased from `pool` with the
    /// request `page`. No page is leased yet.
    ///
    /// # Errors
    ///
    /// The axis does not exist, or no pool can lease such a page.
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

    /// Returns the number of written positions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the sequence has no positions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of positions per page.
    #[must_use]
    pub fn page_len(&self) -> usize {
        self.page.shape()[self.axis]
    }

    /// Returns the number of positions that fit the leased pages.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pages.len() * self.page_len()
    }

    /// Returns the size of one page: the bytes that the next position after
    /// [`capacity`](Self::capacity) requires.
    #[must_use]
    pub fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    /// Returns the bytes that must be leased to append `count` positions.
    #[must_use]
    pub fn append_bytes(&self, count: usize) -> u64 {
        self.page_bytes.saturating_mul(self.missing(count) as u64)
    }

    /// Leases the pages for `count` more positions. Appending them cannot fail afterwards.
    ///
    /// # Errors
    ///
    /// A page cannot be leased. The pages leased before the failure are retained.
    pub fn reserve(&mut self, count: usize) -> Result<()> {
        for _ in 0..self.missing(count) {
            self.pages.push(self.pool.lease(self.page.clone())?);
        }
        Ok(())
    }

    fn missing(&self, count: usize) -> usize {
        let pages = self.len.saturating_add(count).div_ceil(self.page_len());
        pages.saturating_sub(self.pages.len())
    }

    /// Appends positions. Only the appended values are copied.
    ///
    /// # Errors
    ///
    /// The shape of the values differs from the page shape on another axis, or a page cannot be
    /// leased. Nothing is appended in either case.
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
        let count = shape[self.axis];
        self.reserve(count)?;
        let axis = self.axis;
        for PageRun {
            positions,
            page,
            offset,
        } in self.runs(count)
        {
            let mut from = shape.map(|axis| 0..axis);
            let mut to = from.clone();
            to[axis] = offset..offset + positions.len();
            from[axis] = positions;
            let values = values.clone().slice(from);
            self.pages[page].update(|page| page.slice_assign(to, values));
        }
        self.len += count;
        Ok(())
    }

    /// Returns where the next `count` positions are stored, for kernels that write into the pages
    /// directly.
    pub fn runs(&self, count: usize) -> impl Iterator<Item = PageRun> + use<D, K> {
        let (start, page_len) = (self.len, self.page_len());
        let mut done = 0;
        std::iter::from_fn(move || {
            let (page, offset) = ((start + done) / page_len, (start + done) % page_len);
            let length = (page_len - offset).min(count - done);
            let positions = done..done + length;
            done += length;
            (length > 0).then_some(PageRun {
                positions,
                page,
                offset,
            })
        })
    }

    /// Returns the leased pages. The last written page may be partly filled, and reserved pages may
    /// follow it.
    #[must_use]
    pub fn pages(&self) -> &[PooledTensor<D, K>] {
        &self.pages
    }

    /// Returns the pages for writing. Call [`advance`](Self::advance) afterwards to add the new
    /// positions to the length.
    pub fn pages_mut(&mut self) -> &mut [PooledTensor<D, K>] {
        &mut self.pages
    }

    /// Marks `count` more positions as written.
    ///
    /// # Panics
    ///
    /// Panics if the leased pages have fewer free positions.
    pub fn advance(&mut self, count: usize) {
        assert!(
            self.len + count <= self.capacity(),
            "cannot advance by {count} positions from {}: the pages hold {}",
            self.len,
            self.capacity()
        );
        self.len += count;
    }

    /// Returns the range of written positions in page `page`, relative to the start of the page.
    #[must_use]
    pub fn written(&self, page: usize) -> Range<usize> {
        0..self
            .len
            .saturating_sub(page * self.page_len())
            .min(self.page_len())
    }

    /// Returns the positions from `from` to the end, as views of the pages.
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

    /// Copies the whole sequence into one tensor. Returns `None` if the sequence is empty.
    #[must_use]
    pub fn contiguous(&self) -> Option<Tensor<D, K>> {
        let views: Vec<_> = self.views(0).collect();
        (!views.is_empty()).then(|| Tensor::cat(views, self.axis))
    }

    /// Removes all positions and returns the pages to the pool.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.len = 0;
    }
}
