//! Voice files: a state of FlowLM in safetensors format, compatible with the reference.
//!
//! For each layer, `transformer.layers.N.self_attn/cache` holds keys and values [k/v, batch, length,
//! kv_head, head_dim], `…/offset` the number of filled positions, and `…/pad` the number of padded
//! positions among them. Older files have `…/current_end`, whose *length* is the offset.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use burn::tensor::Device;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::{VoiceError, VoiceKv};
use crate::ledger::Ledger;
use crate::ops::{Heads, tensor_from, with_values};
use crate::output_file::OutputFile;
use crate::weights::{Directory, convert};

type Result<T, E = VoiceError> = std::result::Result<T, E>;

/// The padded positions of a voice.
const NO_PADDING: i64 = 0;

/// The sizes that a model requires of a voice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VoiceShape {
    pub(crate) layers: usize,
    pub(crate) heads: Heads,
}

/// A voice file whose header was checked.
#[derive(Debug)]
pub(crate) struct VoiceFile<'a> {
    file: &'a Directory,
    ledger: &'a Ledger,
    path: &'a Path,
    layers: usize,
    heads: Heads,
    /// Filled positions.
    len: usize,
    /// Positions that the file has room for.
    capacity: usize,
    /// Stored bytes of the largest layer.
    largest_layer_bytes: usize,
}

impl<'a> VoiceFile<'a> {
    /// Checks the header of a voice file; messages name `path`. Keys and values are not read.
    pub(crate) fn open(
        file: &'a Directory,
        path: &'a Path,
        shape: &VoiceShape,
        ledger: &'a Ledger,
    ) -> Result<Self> {
        let refuse = |reason: String| VoiceError::Mismatch {
            path: path.to_owned(),
            reason,
        };
        let mut found: Option<(usize, usize)> = None;
        let mut largest_layer_bytes = 0;
        for layer in 0..shape.layers {
            let module = module(layer);
            let (dtype, dims, bytes) =
                file.describe(&format!("{module}/cache")).ok_or_else(|| {
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
            if *found.get_or_insert((offset, capacity)) != (offset, capacity) {
                return Err(refuse("its layers have different lengths".to_owned()));
            }
            largest_layer_bytes = largest_layer_bytes.max(bytes);
        }
        if file
            .describe(&format!("{}/cache", module(shape.layers)))
            .is_some()
        {
            return Err(refuse(format!(
                "it has more layers than the model's {}; it was made for another model",
                shape.layers
            )));
        }
        let (len, capacity) = found.unwrap_or_default();
        Ok(Self {
            file,
            ledger,
            path,
            layers: shape.layers,
            heads: shape.heads,
            len,
            capacity,
            largest_layer_bytes,
        })
    }

    /// Positions of the voice.
    pub(crate) fn positions(&self) -> usize {
        self.len
    }

    /// Stored bytes of the largest layer, which are mapped while it is read.
    pub(crate) fn largest_layer_bytes(&self) -> usize {
        self.largest_layer_bytes
    }

    /// Reads keys and values, layer by layer.
    pub(crate) fn read(&self, device: &Device) -> Result<VoiceKv> {
        let kv_width = self.heads.kv_width();
        let (side, filled) = (self.capacity * kv_width, self.len * kv_width);
        let dims = [2, 1, self.len, self.heads.kv_heads, self.heads.head_dim];
        let layers = (0..self.layers).map(|layer| {
            let name = format!("{}/cache", module(layer));
            let refuse = |reason: String| VoiceError::Mismatch {
                path: self.path.to_owned(),
                reason,
            };
            let (cache, dtype, _) = self
                .file
                .stored(&name, self.ledger)?
                .ok_or_else(|| refuse(format!("it has no {name}")))?;
            let element_bytes = cache.len() / (2 * side);
            let mut values = vec![0.0; 2 * filled];
            let (keys, rest) = values.split_at_mut(filled);
            convert(&cache[..filled * element_bytes], dtype, keys);
            convert(&cache[side * element_bytes..], dtype, rest);
            if !values.iter().all(|value| value.is_finite()) {
                return Err(refuse(format!(
                    "{name} holds values that are not finite; the file is damaged"
                )));
            }
            Ok(tensor_from(values, dims, device))
        });
        Ok(VoiceKv {
            layers: layers.collect::<Result<_>>()?,
            len: self.len,
        })
    }
}

/// The name of a layer's module.
fn module(layer: usize) -> String {
    format!("transformer.layers.{layer}.self_attn")
}

impl VoiceKv {
    /// Writes a temporary file beside `path`, then renames it to `path`. Keys and values are written from
    /// where they are.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let io = |source| VoiceError::Write {
            path: path.to_owned(),
            source,
        };
        let header = self.header().map_err(|error| io(io::Error::other(error)))?;
        let file = OutputFile::create(path).map_err(io)?;
        let mut writer = BufWriter::new(file);
        let mut write = |bytes: &[u8]| writer.write_all(bytes).map_err(io);
        write(&(header.len() as u64).to_le_bytes())?;
        write(&header)?;
        for _ in &self.layers {
            for number in [self.len as i64, NO_PADDING] {
                write(&number.to_le_bytes())?;
            }
        }
        for layer in &self.layers {
            with_values(layer, |values| {
                let bytes = values.iter().map(|value| value.to_le_bytes());
                bytes.into_iter().try_for_each(|bytes| write(&bytes))
            })??;
        }
        let file = writer
            .into_inner()
            .map_err(|error| io(error.into_error()))?;
        file.persist().map_err(io)
    }

    /// The header: the numbers of all layers, then their keys and values.
    fn header(&self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let mut end = 0;
        let mut entry = |layer: usize, key: &str, dtype: Dtype, shape: Vec<usize>| {
            let start = end;
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            let info = TensorInfo {
                dtype,
                shape,
                data_offsets: (start, end),
            };
            (format!("{}/{key}", module(layer)), info)
        };
        let mut tensors = Vec::with_capacity(3 * self.layers.len());
        for layer in 0..self.layers.len() {
            tensors.push(entry(layer, "offset", Dtype::I64, vec![1]));
            tensors.push(entry(layer, "pad", Dtype::I64, vec![1]));
        }
        for (layer, cache) in self.layers.iter().enumerate() {
            tensors.push(entry(layer, "cache", Dtype::F32, cache.dims().to_vec()));
        }
        // PyTorch readers require this key.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let mut header = serde_json::to_vec(&Metadata::new(Some(metadata), tensors)?)?;
        // The values are aligned to 8 bytes, as in files of the `safetensors` crate.
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok(header)
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
