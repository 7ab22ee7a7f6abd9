//! Weights in safetensors files: headers, checks, and loading of one tensor at a time.

mod directory;
mod error;
mod loader;
mod names;
mod tensor;
#[cfg(test)]
mod tests;

use std::path::Path;

pub(crate) use directory::Directory;
pub use error::{WeightMismatch, WeightsError};
pub(crate) use loader::Loader;
pub use loader::{Component, TensorSpec};
#[cfg(test)]
pub(crate) use tensor::Floats;
pub(crate) use tensor::{RowTable, convert};

type Result<T, E = WeightsError> = std::result::Result<T, E>;

/// The tensors of a model from one or two files, or from static bytes.
///
/// Names are those of the released single-file models (`flow_lm.…`, `mimi.…`).
#[derive(Debug)]
pub struct Weights {
    directory: Directory,
}

impl Weights {
    /// Opens a file that holds the whole model. Reads only its header.
    ///
    /// # Errors
    ///
    /// The file is missing, truncated, or not a safetensors file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self {
            directory: Directory::open(path.as_ref())?,
        })
    }

    /// Opens bytes that hold the whole model. Messages use `name` as their path.
    ///
    /// # Errors
    ///
    /// The bytes are not in the safetensors format.
    pub fn from_static(bytes: &'static [u8], name: impl AsRef<Path>) -> Result<Self> {
        Ok(Self {
            directory: Directory::from_static(bytes, name.as_ref())?,
        })
    }

    /// Opens a FlowLM file and a Mimi file.
    ///
    /// Accepts the tensor names of single-file models and those of the training code
    /// (`condition_provider.…`, `model.…`, weight-normalized convolutions).
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_components(flow_lm: impl AsRef<Path>, mimi: impl AsRef<Path>) -> Result<Self> {
        let mut directory = names::flow_lm(Directory::open(flow_lm.as_ref())?);
        directory.extend(names::mimi(Directory::open(mimi.as_ref())?)?);
        Ok(Self { directory })
    }

    /// Opens a file that holds the whole model and replaces its Mimi with that of another file.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_with_mimi(path: impl AsRef<Path>, mimi: impl AsRef<Path>) -> Result<Self> {
        let mut directory = Directory::open(path.as_ref())?;
        directory.retain(|name| !name.starts_with("mimi."));
        directory.extend(names::mimi(Directory::open(mimi.as_ref())?)?);
        Ok(Self { directory })
    }

    /// Checks that exactly the tensors in `expected` are present, with their shapes.
    ///
    /// Returns whether the voice encoder is present; all of its tensors may be absent together.
    ///
    /// # Errors
    ///
    /// Lists all tensors that are missing, unexpected, or of another shape or type.
    pub(crate) fn check(&self, expected: &[TensorSpec]) -> Result<bool> {
        self.directory.check(expected)
    }

    /// Whether the tensors are part of the program, and not in files.
    pub(crate) fn is_static(&self) -> bool {
        self.directory.is_static()
    }

    /// Bytes of the largest tensor as stored.
    pub(crate) fn largest_tensor_bytes(&self) -> u64 {
        self.directory.largest_tensor_bytes()
    }

    /// Number of parameters in all tensors.
    pub(crate) fn parameters(&self) -> u64 {
        self.directory.parameters()
    }

    /// Bytes of all tensors as stored.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.directory.stored_bytes()
    }
}
