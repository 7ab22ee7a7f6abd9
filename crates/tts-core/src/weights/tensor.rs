//! One stored tensor: its bytes and its values as f32.

use std::ops::Deref;
use std::sync::Arc;

use half::{bf16, f16};
use safetensors::Dtype;

use super::{Result, WeightsError};
use crate::ledger::{Ledger, LedgerEntry};

/// The bytes of one tensor as stored.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Mapped(Arc<Mapping>),
    Static(&'static [u8]),
}

/// A mapped range of a file, counted in the ledger.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: memmap2::Mmap,
    _ledger: LedgerEntry,
}

impl Mapping {
    pub(super) fn new(map: memmap2::Mmap, ledger: &Ledger) -> Self {
        Self {
            _ledger: LedgerEntry::mapped(ledger, map.len()),
            map,
        }
    }
}

impl Deref for Stored {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapping) => &mapping.map,
            Self::Static(bytes) => bytes,
        }
    }
}

/// A tensor's values as f32.
#[derive(Debug)]
pub(crate) struct Floats(Values);

#[derive(Debug)]
enum Values {
    /// Stored as aligned, little-endian f32: read in place.
    InPlace(Stored),
    Owned(Vec<f32>),
}

impl Floats {
    /// Reads the values of stored bytes, in place if possible.
    pub(super) fn read(stored: Stored, dtype: Dtype) -> Self {
        let in_place = dtype == Dtype::F32
            && cfg!(target_endian = "little")
            && bytemuck::try_cast_slice::<u8, f32>(&stored).is_ok();
        Self(if in_place {
            Values::InPlace(stored)
        } else {
            let mut values = vec![0.0; stored.len() / element_bytes(dtype)];
            convert(&stored, dtype, &mut values);
            Values::Owned(values)
        })
    }

    /// The values as a vector; copies only values that were read in place.
    pub(crate) fn into_vec(self) -> Vec<f32> {
        match self.0 {
            Values::InPlace(stored) => bytemuck::cast_slice(&stored).to_vec(),
            Values::Owned(values) => values,
        }
    }

    /// Values that are not stored in a file.
    pub(super) fn owned(values: Vec<f32>) -> Self {
        Self(Values::Owned(values))
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Values::InPlace(stored) => bytemuck::cast_slice(stored),
            Values::Owned(values) => values,
        }
    }
}

/// A stored matrix whose rows are converted on demand: an embedding table takes no memory beyond the
/// file's pages that were read.
#[derive(Debug)]
pub(crate) struct RowTable {
    stored: Stored,
    dtype: Dtype,
    width: usize,
}

impl RowTable {
    pub(super) fn new(stored: Stored, dtype: Dtype, width: usize) -> Self {
        Self {
            stored,
            dtype,
            width,
        }
    }

    /// A table without rows.
    pub(super) fn empty(width: usize) -> Self {
        Self::new(Stored::Static(&[]), Dtype::F32, width)
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.stored.len() / (self.width * element_bytes(self.dtype))
    }

    /// Appends row `index` to `out`.
    ///
    /// # Errors
    ///
    /// The table has fewer rows.
    pub(crate) fn push_row(&self, index: usize, out: &mut Vec<f32>) -> Result<()> {
        let bytes = self.width * element_bytes(self.dtype);
        let row = self.stored.get(index * bytes..(index + 1) * bytes).ok_or(
            WeightsError::TokenOutOfRange {
                token: index,
                rows: self.rows(),
            },
        )?;
        let start = out.len();
        out.resize(start + self.width, 0.0);
        convert(row, self.dtype, &mut out[start..]);
        Ok(())
    }
}

/// Bytes per element of an accepted type.
pub(super) fn element_bytes(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F32 => 4,
        _ => 2,
    }
}

/// Returns whether weights may have this type.
pub(super) fn is_accepted(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Converts stored little-endian elements, aligned or not.
pub(crate) fn convert(stored: &[u8], dtype: Dtype, out: &mut [f32]) {
    match dtype {
        Dtype::F32 => {
            for (out, bytes) in out.iter_mut().zip(stored.as_chunks::<4>().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        Dtype::BF16 => {
            for (out, bytes) in out.iter_mut().zip(stored.as_chunks::<2>().0) {
                *out = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        _ => {
            for (out, bytes) in out.iter_mut().zip(stored.as_chunks::<2>().0) {
                *out = f16::from_le_bytes(*bytes).to_f32();
            }
        }
    }
}
