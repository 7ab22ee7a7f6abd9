//! Errors of the tensor pool.

use bytesize::ByteSize;
use thiserror::Error;

use crate::OverBudget;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of [`MemoryPool`](crate::MemoryPool) or [`PagedLease`](crate::PagedLease).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The element type does not belong to the tensor's kind.
    #[error(
        "{dtype} is not an element type of a {kind} tensor; use the TensorRequest constructor of its kind"
    )]
    WrongKind {
        /// The tensor's kind.
        kind: &'static str,
        /// The requested type.
        dtype: &'static str,
    },
    /// The device does not support this type.
    #[error(
        "device {device} does not support {dtype}; use a type that Device::supports_dtype accepts"
    )]
    UnsupportedDType {
        /// The requested type.
        dtype: &'static str,
        /// The device.
        device: String,
    },
    /// The shape has an axis of length 0.
    #[error("a tensor of shape {shape:?} has no elements; every axis must be at least 1")]
    NoElements {
        /// The requested shape.
        shape: Vec<usize>,
    },
    /// The tensor would be larger than the address space.
    #[error("a tensor of shape {shape:?} is larger than the address space; use smaller axes")]
    TooLarge {
        /// The requested shape.
        shape: Vec<usize>,
    },
    /// The system cannot allocate the memory.
    #[error("the system cannot allocate {} for a tensor; use a smaller tensor or free memory", ByteSize::b(*requested_bytes))]
    OutOfMemory {
        /// The requested size.
        requested_bytes: u64,
    },
    /// The budget has too few bytes available.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The shape of the appended values does not match the pages.
    #[error(
        "cannot append values of shape {found:?} to pages of shape {page:?} along axis {axis}: \
         all other axes must match"
    )]
    WrongShape {
        /// The shape of the values.
        found: Vec<usize>,
        /// The shape of a page.
        page: Vec<usize>,
        /// The axis along which the sequence grows.
        axis: usize,
    },
    /// The pages do not have the requested axis.
    #[error("pages of shape {page:?} cannot grow along axis {axis}; use an axis from 0 to {}", page.len().saturating_sub(1))]
    NoSuchAxis {
        /// The shape of a page.
        page: Vec<usize>,
        /// The requested axis.
        axis: usize,
    },
}
