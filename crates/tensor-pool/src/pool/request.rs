//! Requests for tensors.

use std::marker::PhantomData;

use burn::tensor::kind::{Basic, Kind};
use burn::tensor::{Bool, Bytes, DType, Device, Float, Int, Tensor, TensorData};

use crate::Budget;
use crate::error::{Error, Result};

/// The content of a recycled tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Zeros, like a new tensor.
    #[default]
    Zeroed,
    /// Unspecified values, for callers that write every element before reading it. Debug builds
    /// fill float tensors with NaN, to make reads of unwritten elements visible.
    AsIs,
}

/// A description of a tensor to lease: shape, element type, device and options.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::{DType, Device};
/// use tensor_pool::{MemoryPool, Reuse, TensorRequest};
///
/// let pool = MemoryPool::default();
/// let request = TensorRequest::new([4, 4], DType::F32, &Device::flex())
///     .tag("scratch")
///     .reuse(Reuse::AsIs);
/// let scratch = pool.lease(request)?;
/// assert_eq!(pool.outstanding()[0].tag, "scratch");
/// # drop(scratch);
/// # }
/// # Ok::<(), tensor_pool::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorRequest<const D: usize, K = Float> {
    pub(super) shape: [usize; D],
    pub(super) dtype: DType,
    pub(super) device: Device,
    pub(super) tag: &'static str,
    pub(super) reuse: Reuse,
    pub(super) budget: Option<Budget>,
    kind: PhantomData<K>,
}

impl<const D: usize> TensorRequest<D> {
    /// Requests a float tensor of zeros.
    #[must_use]
    pub fn new(shape: [usize; D], dtype: DType, device: &Device) -> Self {
        Self::any(shape, dtype, device)
    }
}

impl<const D: usize> TensorRequest<D, Int> {
    /// Requests an integer tensor of zeros.
    #[must_use]
    pub fn int(shape: [usize; D], dtype: DType, device: &Device) -> Self {
        Self::any(shape, dtype, device)
    }
}

impl<const D: usize> TensorRequest<D, Bool> {
    /// Requests a tensor of `false`.
    #[must_use]
    pub fn bool(shape: [usize; D], dtype: DType, device: &Device) -> Self {
        Self::any(shape, dtype, device)
    }
}

impl<const D: usize, K> TensorRequest<D, K> {
    fn any(shape: [usize; D], dtype: DType, device: &Device) -> Self {
        Self {
            shape,
            dtype,
            device: device.clone(),
            tag: "",
            reuse: Reuse::default(),
            budget: None,
            kind: PhantomData,
        }
    }

    /// Sets the name that the list of outstanding tensors and messages of budgets use.
    #[must_use]
    pub fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// Sets the content of a recycled tensor.
    #[must_use]
    pub fn reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Sets the budget in which the bytes are reserved while the tensor is leased.
    #[must_use]
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Returns the shape.
    #[must_use]
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }
}

impl<const D: usize, K: Basic> TensorRequest<D, K> {
    /// Validates the request and returns the size of the tensor in bytes.
    ///
    /// # Errors
    ///
    /// The element type does not belong to this kind or is not supported by the device, or the
    /// shape has no elements or exceeds the address space.
    pub fn check(&self) -> Result<u64> {
        let is_of_kind = match K::KIND {
            Kind::Float => self.dtype.is_float(),
            Kind::Int => self.dtype.is_int() || self.dtype.is_uint(),
            Kind::Bool => self.dtype.is_bool(),
        };
        if !is_of_kind {
            return Err(Error::WrongKind {
                kind: K::KIND.as_str(),
                dtype: self.dtype.name(),
            });
        }
        if !self.device.supports_dtype(self.dtype) {
            return Err(Error::UnsupportedDType {
                dtype: self.dtype.name(),
                device: format!("{:?}", self.device),
            });
        }
        let bytes = self
            .shape
            .iter()
            .try_fold(self.dtype.size(), |bytes, &axis| bytes.checked_mul(axis))
            .filter(|&bytes| isize::try_from(bytes).is_ok());
        match bytes {
            Some(0) => Err(Error::NoElements {
                shape: self.shape.to_vec(),
            }),
            Some(bytes) => Ok(bytes as u64),
            None => Err(Error::TooLarge {
                shape: self.shape.to_vec(),
            }),
        }
    }

    /// Allocates a new tensor. `Tensor::zeros` would allocate it twice on Flex.
    pub(super) fn make(&self) -> Result<Tensor<D, K>> {
        let data = zeros(self.shape, self.dtype)?;
        let tensor = Tensor::from_data(data, (&self.device, self.dtype));
        Ok(match self.reuse {
            Reuse::Zeroed => tensor,
            Reuse::AsIs => Reuse::AsIs.renew(tensor),
        })
    }
}

impl Reuse {
    /// Prepares the content of a recycled tensor in place.
    pub(super) fn renew<const D: usize, K: Basic>(self, tensor: Tensor<D, K>) -> Tensor<D, K> {
        let all = tensor.dims().map(|axis| 0..axis);
        match (self, K::KIND) {
            (Self::Zeroed, Kind::Float) => tensor.slice_fill(all, 0.0_f32),
            (Self::Zeroed, Kind::Int) => tensor.slice_fill(all, 0_i32),
            (Self::Zeroed, Kind::Bool) => tensor.slice_fill(all, false),
            (Self::AsIs, Kind::Float) if cfg!(debug_assertions) => tensor.slice_fill(all, f32::NAN),
            (Self::AsIs, _) => tensor,
        }
    }
}

/// Returns zeros on the host. The value 0 of every type of Burn consists of zero bytes.
fn zeros<const D: usize>(shape: [usize; D], dtype: DType) -> Result<TensorData> {
    let count = shape.iter().product();
    let bytes = match dtype.size() {
        1 => Bytes::from_elems(zeroed_vec::<u8>(count)?),
        2 => Bytes::from_elems(zeroed_vec::<u16>(count)?),
        4 => Bytes::from_elems(zeroed_vec::<u32>(count)?),
        _ => Bytes::from_elems(zeroed_vec::<u64>(count)?),
    };
    Ok(TensorData::from_bytes(bytes, shape, dtype))
}

/// Allocates zeroed memory like `vec![0; count]`, but returns an error instead of aborting the
/// process.
fn zeroed_vec<T: bytemuck::Zeroable>(count: usize) -> Result<Vec<T>> {
    bytemuck::allocation::try_zeroed_slice_box(count)
        .map(Vec::from)
        .map_err(|()| Error::OutOfMemory {
            requested_bytes: (count as u64).saturating_mul(size_of::<T>() as u64),
        })
}
