//! What can go wrong with tensors.

use bytesize::ByteSize;
use thiserror::Error;

use crate::OverBudget;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with tensors.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The element type is of another kind than the tensor.
    #[error(
        "{dtype} is no element type of a {kind} tensor; request it with the TensorRequest of its kind"
    )]
    WrongKind {
        /// The tensor's kind.
        kind: &'static str,
        /// The type asked for.
        dtype: &'static str,
    },
    /// The device does not compute with this type.
    #[error("device {device} has no {dtype}; ask Device::supports_dtype for one that it has")]
    UnsupportedDType {
        /// The type asked for.
        dtype: &'static str,
        /// The device.
        device: String,
    },
    /// The shape has an axis of length 0.
    #[error(
        "a tensor of shape {shape:?} has no elements, so there is nothing to lease; every axis must be at least 1"
    )]
    NoElements {
        /// The shape asked for.
        shape: Vec<usize>,
    },
    /// The tensor would be larger than the address space.
    #[error("a tensor of shape {shape:?} is larger than the address space; use smaller axes")]
    TooLarge {
        /// The shape asked for.
        shape: Vec<usize>,
    },
    /// The system refuses the memory.
    #[error("the system has no {} left for a tensor; use a smaller one or free some", ByteSize::b(*requested_bytes))]
    OutOfMemory {
        /// The size asked for.
        requested_bytes: u64,
    },
    /// The budget has no room.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// Values do not fit the pages that they are appended to.
    #[error(
        "cannot append values of shape {found:?} to pages of shape {page:?} along axis {axis}: \
         every other axis must be the same"
    )]
    WrongShape {
        /// The values' shape.
        found: Vec<usize>,
        /// A page's shape.
        page: Vec<usize>,
        /// The axis along which they grow.
        axis: usize,
    },
    /// Pages have no such axis.
    #[error("pages of shape {page:?} cannot grow along axis {axis}; name one from 0 to {}", page.len().saturating_sub(1))]
    NoSuchAxis {
        /// A page's shape.
        page: Vec<usize>,
        /// The axis asked for.
        axis: usize,
    },
}
