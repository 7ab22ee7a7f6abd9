//! Weights from safetensors files: mapped, checked, and read one tensor at a time.

mod directory;
mod manifest;
mod names;
mod tensor;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use manifest::{Part, TensorSpec, expected_tensors};
pub(crate) use tensor::{Floats, RowTable, convert};

use crate::config::Config;
use crate::error::Result;
pub(crate) use directory::Directory;

/// The tensors of a model, by the names of the released single-file models (`flow_lm.…`,
/// `mimi.…`), from one file or two, or from bytes that are part of the program.
#[derive(Debug)]
pub struct Weights {
    directory: Directory,
}

impl Weights {
    /// Opens a file that holds the whole model. Only its header is read.
    ///
    /// # Errors
    ///
    /// The file is missing, truncated, or not a safetensors file.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            directory: Directory::open(path)?,
        })
    }

    /// Opens bytes that hold the whole model; `name` stands for them in messages.
    ///
    /// # Errors
    ///
    /// The bytes are not in the safetensors format.
    pub fn from_static(bytes: &'static [u8], name: &Path) -> Result<Self> {
        Ok(Self {
            directory: Directory::from_static(bytes, name)?,
        })
    }

    /// Opens a FlowLM file and a Mimi file, with today's tensor names or those of the models'
    /// training code (`condition_provider.…`, `model.…`, weight-normalised convolutions).
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_parts(flow_lm: &Path, mimi: &Path) -> Result<Self> {
        let mut directory = names::flow_lm(Directory::open(flow_lm)?);
        directory.extend(names::mimi(Directory::open(mimi)?)?);
        Ok(Self { directory })
    }

    /// Opens a file that holds the whole model, with Mimi replaced by that of another file.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_with_mimi(path: &Path, mimi: &Path) -> Result<Self> {
        let mut directory = Directory::open(path)?;
        directory.retain(|name| !name.starts_with("mimi."));
        directory.extend(names::mimi(Directory::open(mimi)?)?);
        Ok(Self { directory })
    }

    /// Checks that exactly the tensors that `config` asks for are here, with their shapes.
    /// Whether the voice encoder is here too, which is all or nothing.
    ///
    /// # Errors
    ///
    /// Lists the tensors that are missing, unexpected, and of another shape or type.
    pub(crate) fn check(&self, config: &Config) -> Result<bool> {
        self.directory.check(&expected_tensors(config))
    }

    /// The tensors whose names start with `prefix`.
    pub(crate) fn scope(&self, prefix: &str) -> Scope<'_> {
        Scope {
            weights: self,
            prefix: format!("{prefix}."),
        }
    }

    /// The numbers in all tensors.
    pub(crate) fn parameters(&self) -> u64 {
        self.directory.parameters()
    }

    /// The bytes of all tensors as they are stored.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.directory.stored_bytes()
    }
}

/// The tensors below one prefix.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// The tensors below a prefix of these.
    pub(crate) fn scope(&self, prefix: &str) -> Scope<'a> {
        Scope {
            weights: self.weights,
            prefix: format!("{}{prefix}.", self.prefix),
        }
    }

    /// A tensor's values as f32: in place where they are stored so, converted otherwise.
    pub(crate) fn floats(&self, name: &str) -> Result<Floats> {
        self.weights
            .directory
            .floats(&format!("{}{name}", self.prefix))
    }

    /// A tensor of which single rows will be asked.
    pub(crate) fn row_table(&self, name: &str, width: usize) -> Result<RowTable> {
        self.weights
            .directory
            .row_table(&format!("{}{name}", self.prefix), width)
    }
}
