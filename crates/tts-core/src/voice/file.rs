//! Voice files: a state of FlowLM in safetensors format, compatible with the reference.
//!
//! For each layer, `transformer.layers.N.self_attn/cache` holds keys and values [k/v, batch, length,
//! kv_head, head_dim], `…/offset` the number of filled positions, and `…/pad` the number of padded
//! positions among them. Older files have `…/current_end`, whose *length* is the offset.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::Device;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{VoiceError, VoiceKv};
use crate::ledger::Ledger;
use crate::ops::{Heads, tensor_from, vec_from};
use crate::output_file::OutputFile;
use crate::weights::{Directory, convert};

type Result<T, E = VoiceError> = std::result::Result<T, E>;

/// The sizes that a model requires of a voice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VoiceShape {
    pub(crate) layers: usize,
    pub(crate) heads: Heads,
}

impl VoiceKv {
    /// Reads a voice from the tensors of a file; messages name `path`.
    pub(crate) fn read(
        file: &Directory,
        path: &Path,
        shape: &VoiceShape,
        device: &Device,
        ledger: &Ledger,
    ) -> Result<Self> {
        let refuse = |reason: String| VoiceError::Mismatch {
            path: path.to_owned(),
            reason,
        };
        let mut layers = Vec::with_capacity(shape.layers);
        let mut len = None;
        for layer in 0..shape.layers {
            let module = format!("transformer.layers.{layer}.self_attn");
            let (cache, dtype, dims) = file
                .stored(&format!("{module}/cache"), ledger)?
                .ok_or_else(|| {
                    refuse(format!(
                        "it has no {module}/cache, and the model has {} layers",
                        shape.layers
                    ))
                })?;
            let [2, 1, capacity, kv_heads, head_dim] = dims[..] else {
                return Err(refuse(format!(
                    "{module}/cache has shape {dims:?}; expected [2, 1, length, {}, {}]",
                    shape.heads.kv_heads, shape.heads.head_dim
                )));
            };
            if (kv_heads, head_dim) != (shape.heads.kv_heads, shape.heads.head_dim) {
                return Err(refuse(format!(
                    "it has {kv_heads} heads of {head_dim} channels, and the model {} of {}; it was made for another model",
                    shape.heads.kv_heads, shape.heads.head_dim
                )));
            }
            if !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                return Err(refuse(format!(
                    "{module}/cache is {dtype:?}; expected F32, F16 or BF16"
                )));
            }
            let offset = filled(file, &module, ledger, &refuse)?;
            if offset == 0 || offset > capacity {
                return Err(refuse(format!(
                    "{module} has {offset} filled positions of {capacity}"
                )));
            }
            if *len.get_or_insert(offset) != offset {
                return Err(refuse("its layers have different lengths".to_owned()));
            }

            let mut values = vec![0.0; 2 * capacity * kv_heads * head_dim];
            convert(&cache, dtype, &mut values);
            let side = capacity * kv_heads * head_dim;
            let filled = offset * kv_heads * head_dim;
            values.copy_within(side..side + filled, filled);
            values.truncate(2 * filled);
            if !values.iter().all(|value| value.is_finite()) {
                return Err(refuse(format!(
                    "{module}/cache holds values that are not finite; the file is damaged"
                )));
            }
            let dims = [2, 1, offset, kv_heads, head_dim];
            layers.push(tensor_from(values, dims, device));
        }
        let beyond = format!("transformer.layers.{}.self_attn/cache", shape.layers);
        if file.stored(&beyond, ledger)?.is_some() {
            return Err(refuse(format!(
                "it has more layers than the model's {}; it was made for another model",
                shape.layers
            )));
        }
        Ok(Self {
            layers,
            len: len.unwrap_or(0),
        })
    }

    /// Writes a temporary file beside `path`, then renames it to `path`.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let io = |source| VoiceError::Write {
            path: path.to_owned(),
            source,
        };
        let invalid = |error| io(std::io::Error::other(error));
        let position = (self.len as i64).to_le_bytes();
        let mut caches = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let values = vec_from(layer.clone())?;
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            caches.push((bytes, layer.dims().to_vec()));
        }
        let mut tensors = Vec::with_capacity(3 * caches.len());
        for (layer, (bytes, dims)) in caches.iter().enumerate() {
            let module = format!("transformer.layers.{layer}.self_attn");
            let entries: [(&str, Dtype, Vec<usize>, &[u8]); 3] = [
                ("cache", Dtype::F32, dims.clone(), bytes),
                ("offset", Dtype::I64, vec![1], &position),
                ("pad", Dtype::I64, vec![1], &[0; 8]),
            ];
            for (key, dtype, dims, bytes) in entries {
                let view = TensorView::new(dtype, dims, bytes).map_err(invalid)?;
                tensors.push((format!("{module}/{key}"), view));
            }
        }
        // PyTorch readers require this key.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(invalid)?;
        OutputFile::write(path, &bytes).map_err(io)
    }
}

/// Returns the number of filled positions of a layer.
fn filled(
    file: &Directory,
    module: &str,
    ledger: &Ledger,
    refuse: &dyn Fn(String) -> VoiceError,
) -> Result<usize> {
    if let Some((_, _, dims)) = file.stored(&format!("{module}/current_end"), ledger)? {
        return Ok(dims.first().copied().unwrap_or(0));
    }
    if read_integer(file, &format!("{module}/pad"), ledger, refuse)?.unwrap_or(0) != 0 {
        return Err(refuse(format!(
            "{module}/pad is not 0: it is a row of a padded batch"
        )));
    }
    match read_integer(file, &format!("{module}/offset"), ledger, refuse)? {
        Some(offset) => {
            usize::try_from(offset).map_err(|_| refuse(format!("{module}/offset is {offset}")))
        }
        None => Err(refuse(format!("it has no {module}/offset"))),
    }
}

fn read_integer(
    file: &Directory,
    name: &str,
    ledger: &Ledger,
    refuse: &dyn Fn(String) -> VoiceError,
) -> Result<Option<i64>> {
    let Some((bytes, dtype, _)) = file.stored(name, ledger)? else {
        return Ok(None);
    };
    match <[u8; 8]>::try_from(&bytes[..]) {
        Ok(bytes) if dtype == Dtype::I64 => Ok(Some(i64::from_le_bytes(bytes))),
        _ => Err(refuse(format!("{name} is not one 64-bit integer"))),
    }
}
