//! Zeros on the host, ready to become a tensor.

use burn::tensor::{Bytes, DType, TensorData};

use crate::error::{Error, Result};

/// Zeros of any type: in every one of Burn's types they are zero bytes.
pub(super) fn zeros<const D: usize>(shape: [usize; D], dtype: DType) -> Result<TensorData> {
    let count = shape.iter().product();
    let bytes = match dtype.size() {
        1 => Bytes::from_elems(vec::<u8>(count)?),
        2 => Bytes::from_elems(vec::<u16>(count)?),
        4 => Bytes::from_elems(vec::<u32>(count)?),
        _ => Bytes::from_elems(vec::<u64>(count)?),
    };
    Ok(TensorData::from_bytes(bytes, shape, dtype))
}

/// As `vec![0; count]`, which asks for memory that is zero already, but an error where that ends
/// the process.
fn vec<T: bytemuck::Zeroable>(count: usize) -> Result<Vec<T>> {
    bytemuck::allocation::try_zeroed_slice_box(count)
        .map(Vec::from)
        .map_err(|()| Error::OutOfMemory {
            requested_bytes: (count as u64).saturating_mul(size_of::<T>() as u64),
        })
}
