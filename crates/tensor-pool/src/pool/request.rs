//! What is asked of a pool.

use std::marker::PhantomData;

use burn::tensor::kind::{Basic, Kind};
use burn::tensor::{Bool, DType, Device, Float, Int, Tensor};

use super::zeroed;
use crate::Budget;
use crate::error::{Error, Result};

/// What a recycled tensor holds when it is leased again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Zeros, as a fresh one.
    #[default]
    Zeroed,
    /// Anything: for a caller who writes every element before reading it. Debug builds fill floats
    /// with NaN, so that one who does not is found.
    AsIs,
}

/// A tensor to lease: shape, element type and device, and how.
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
    /// A float tensor of zeros.
    #[must_use]
    pub fn new(shape: [usize; D], dtype: DType, device: &Device) -> Self {
        Self::any(shape, dtype, device)
    }
}

impl<const D: usize> TensorRequest<D, Int> {
    /// An integer tensor of zeros.
    #[must_use]
    pub fn int(shape: [usize; D], dtype: DType, device: &Device) -> Self {
        Self::any(shape, dtype, device)
    }
}

impl<const D: usize> TensorRequest<D, Bool> {
    /// A tensor of `false`.
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

    /// What it is for, as the list of outstanding tensors and messages about budgets say it.
    #[must_use]
    pub fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// What a recycled tensor holds.
    #[must_use]
    pub fn reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Where its bytes are reserved as long as it is leased.
    #[must_use]
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }
}

impl<const D: usize, K: Basic> TensorRequest<D, K> {
    /// Its size, if such a tensor can be.
    ///
    /// # Errors
    ///
    /// The type is not of this kind or not one of the device's; the shape has no elements, or more
    /// than can be addressed.
    pub fn check(&self) -> Result<u64> {
        let wanted = match K::KIND {
            Kind::Float => self.dtype.is_float(),
            Kind::Int => self.dtype.is_int() || self.dtype.is_uint(),
            Kind::Bool => self.dtype.is_bool(),
        };
        if !wanted {
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

    /// A fresh tensor. `Tensor::zeros` would allocate it twice on Flex.
    pub(super) fn make(&self) -> Result<Tensor<D, K>> {
        let data = zeroed::zeros(self.shape, self.dtype)?;
        let tensor = Tensor::from_data(data, (&self.device, self.dtype));
        Ok(match self.reuse {
            Reuse::Zeroed => tensor,
            Reuse::AsIs => Reuse::AsIs.renew(tensor),
        })
    }
}

impl Reuse {
    /// Makes a used tensor look as it should, in place.
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
