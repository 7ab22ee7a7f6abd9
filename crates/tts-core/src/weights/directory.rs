//! Where each tensor lies: the headers of one or two files.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::MmapOptions;
use safetensors::{Dtype, SafeTensors};

use super::TensorSpec;
use super::manifest::Part;
use super::tensor::{self, Floats, Mapping, RowTable, Stored};
use crate::error::{Error, Result, WeightMismatch};

/// Largest header that is read. The released models' headers are under 40 kB; the format's own
/// library draws the line at 100 MB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Tensors by name.
#[derive(Debug)]
pub(crate) struct Directory {
    entries: BTreeMap<String, Entry>,
    /// Named in messages.
    paths: Vec<PathBuf>,
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Plain(Location),
    /// A weight stored as a length and a direction per output channel (Salimans and Kingma,
    /// 2016): `gain * direction / |direction|`.
    WeightNorm {
        gain: Location,
        direction: Location,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Location {
    source: Arc<Source>,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Offset in the source, and length, in bytes.
    start: u64,
    len: usize,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    data: Data,
}

#[derive(Debug)]
enum Data {
    /// Each tensor is mapped when it is used and unmapped after, so that the pages of a tensor
    /// that was prepared into another layout are given back at once.
    File(File),
    Static(&'static [u8]),
}

impl Directory {
    /// Reads the header of a file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::io("read weights", path, source);
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(Error::not_safetensors(path, "it is not a regular file"));
        }
        if metadata.len() == 0 {
            return Err(Error::not_safetensors(path, "it is empty"));
        }
        // SAFETY: as for the tensors' mappings, see `Location::map`. Only the header's pages are
        // touched.
        let map = unsafe { MmapOptions::new().map(&file) }.map_err(io)?;
        let source = Source {
            path: path.to_owned(),
            data: Data::File(file),
        };
        Self::parse(&map, source)
    }

    /// Reads the header of bytes.
    pub(crate) fn from_static(bytes: &'static [u8], name: &Path) -> Result<Self> {
        let source = Source {
            path: name.to_owned(),
            data: Data::Static(bytes),
        };
        Self::parse(bytes, source)
    }

    fn parse(bytes: &[u8], source: Source) -> Result<Self> {
        let path = source.path.clone();
        let refuse = |reason: String| Err(Error::not_safetensors(&path, reason));
        let len = bytes.len() as u64;
        let Some(head) = bytes.first_chunk::<8>() else {
            return refuse(format!("it has {len} bytes, too few for a header"));
        };
        let header_len = u64::from_le_bytes(*head);
        if header_len > MAX_HEADER_BYTES || header_len > len - 8 {
            return refuse(format!(
                "its header claims {header_len} bytes, but the file has {len} and a header at most {MAX_HEADER_BYTES}"
            ));
        }
        // The library checks that the tensors follow each other up to the end of the file.
        let (header_len, metadata) = match SafeTensors::read_metadata(bytes) {
            Ok(read) => read,
            Err(safetensors::SafeTensorError::MetadataIncompleteBuffer) => {
                return refuse(format!(
                    "its header describes tensors of another length than the {len} bytes of the file; was it cut off while it was copied?"
                ));
            }
            Err(error) => return refuse(error.to_string()),
        };
        let data_start = header_len as u64 + 8;
        let source = Arc::new(source);
        let mut entries = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            let location = Location {
                source: source.clone(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: data_start + from as u64,
                len: to - from,
            };
            entries.insert(name, Entry::Plain(location));
        }
        Ok(Self {
            entries,
            paths: vec![path],
        })
    }

    /// Adds the tensors of another directory.
    pub(super) fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.paths.extend(other.paths);
    }

    /// Keeps the tensors whose names satisfy a condition.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.entries.retain(|name, _| keep(name));
    }

    /// Renames every tensor, or drops it.
    pub(super) fn rename(self, rename: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            entries: self
                .entries
                .into_iter()
                .filter_map(|(name, entry)| Some((rename(&name)?, entry)))
                .collect(),
            paths: self.paths,
        }
    }

    /// Whether a tensor's name satisfies a condition.
    pub(super) fn any(&self, condition: impl Fn(&str) -> bool) -> bool {
        self.entries.keys().any(|name| condition(name))
    }

    /// Joins each pair of tensors `…_g` and `…_v` to one weight-normalised tensor.
    pub(super) fn join_weight_norms(mut self) -> Result<Self> {
        let gains: Vec<String> = self
            .entries
            .keys()
            .filter(|name| name.ends_with(".weight_g"))
            .cloned()
            .collect();
        for gain_name in gains {
            let name = gain_name.trim_end_matches("_g").to_owned();
            let gain = self.entries.remove(&gain_name);
            let direction = self.entries.remove(&format!("{name}_v"));
            let (Some(Entry::Plain(gain)), Some(Entry::Plain(direction))) = (gain, direction)
            else {
                return Err(Error::not_safetensors(
                    self.first_path(),
                    format!("it has {gain_name} but not {name}_v"),
                ));
            };
            let outputs = gain.shape.iter().product::<usize>();
            if outputs == 0 || direction.shape.first() != Some(&outputs) {
                return Err(Error::not_safetensors(
                    self.first_path(),
                    format!(
                        "{gain_name} has shape {:?}, which does not go with {:?} of {name}_v",
                        gain.shape, direction.shape
                    ),
                ));
            }
            self.entries
                .insert(name, Entry::WeightNorm { gain, direction });
        }
        Ok(self)
    }

    /// Compares names, shapes and types with what a model needs. Whether the optional part is
    /// there.
    pub(super) fn check(&self, specs: &[TensorSpec]) -> Result<bool> {
        let mut mismatch = WeightMismatch::default();
        let has_encoder = specs
            .iter()
            .any(|spec| spec.part == Part::VoiceEncoder && self.entries.contains_key(&spec.name));
        let mut known = std::collections::BTreeSet::new();
        for spec in specs {
            known.insert(spec.name.as_str());
            match self.entries.get(&spec.name) {
                None if spec.part == Part::VoiceEncoder && !has_encoder => {}
                None => mismatch.missing.push(spec.name.clone()),
                Some(entry) => {
                    for location in entry.locations() {
                        if !tensor::accepted(location.dtype) {
                            mismatch.wrong.push(format!(
                                "{} is {:?} (expected F32, F16 or BF16)",
                                spec.name, location.dtype
                            ));
                        }
                    }
                    if entry.shape() != spec.shape {
                        mismatch.wrong.push(format!(
                            "{} is {:?} (expected {:?})",
                            spec.name,
                            entry.shape(),
                            spec.shape
                        ));
                    }
                }
            }
        }
        mismatch.unexpected.extend(
            self.entries
                .keys()
                .filter(|name| !known.contains(name.as_str()))
                .cloned(),
        );
        if mismatch.is_empty() {
            Ok(has_encoder)
        } else {
            Err(Error::WeightMismatch {
                paths: self.paths.clone(),
                mismatch: Box::new(mismatch),
            })
        }
    }

    /// A tensor's values.
    pub(crate) fn floats(&self, name: &str) -> Result<Floats> {
        let floats = match self.entry(name)? {
            Entry::Plain(location) => Floats::read(location.map()?, location.dtype),
            Entry::WeightNorm { gain, direction } => {
                let gains = Floats::read(gain.map()?, gain.dtype);
                let mut values = Floats::read(direction.map()?, direction.dtype).into_vec();
                let width = values.len() / gains.len().max(1);
                for (row, gain) in values.chunks_exact_mut(width.max(1)).zip(gains.iter()) {
                    let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
                    row.iter_mut().for_each(|value| *value *= gain / norm);
                }
                Floats::owned(values)
            }
        };
        if floats.iter().all(|value| value.is_finite()) {
            Ok(floats)
        } else {
            Err(Error::not_safetensors(
                self.first_path(),
                format!("{name} holds values that are not finite; the file is damaged"),
            ))
        }
    }

    /// A tensor's bytes, type and shape, if there is such a tensor.
    pub(crate) fn stored(&self, name: &str) -> Result<Option<(Stored, Dtype, &[usize])>> {
        match self.entries.get(name) {
            Some(Entry::Plain(location)) => {
                Ok(Some((location.map()?, location.dtype, &location.shape)))
            }
            _ => Ok(None),
        }
    }

    /// A tensor of which rows are asked.
    pub(super) fn row_table(&self, name: &str, width: usize) -> Result<RowTable> {
        match self.entry(name)? {
            Entry::Plain(location) => Ok(RowTable::new(location.map()?, location.dtype, width)),
            Entry::WeightNorm { .. } => Err(Error::not_safetensors(
                self.first_path(),
                format!("{name} is weight-normalised, which no embedding is"),
            )),
        }
    }

    /// Bytes of all tensors.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.entries
            .values()
            .flat_map(Entry::locations)
            .map(|location| location.len as u64)
            .sum()
    }

    /// Numbers in all tensors.
    pub(super) fn parameters(&self) -> u64 {
        let count = |entry: &Entry| entry.shape().iter().product::<usize>() as u64;
        self.entries.values().map(count).sum()
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| Error::WeightMismatch {
            paths: self.paths.clone(),
            mismatch: Box::new(WeightMismatch {
                missing: vec![name.to_owned()],
                ..Default::default()
            }),
        })
    }

    fn first_path(&self) -> &Path {
        self.paths.first().map_or(Path::new(""), PathBuf::as_path)
    }
}

impl Entry {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Plain(location) => &location.shape,
            Self::WeightNorm { direction, .. } => &direction.shape,
        }
    }

    fn locations(&self) -> Vec<&Location> {
        match self {
            Self::Plain(location) => vec![location],
            Self::WeightNorm { gain, direction } => vec![gain, direction],
        }
    }
}

impl Location {
    /// The stored bytes.
    fn map(&self) -> Result<Stored> {
        let path = &self.source.path;
        match &self.source.data {
            Data::Static(bytes) => {
                let start = self.start as usize;
                bytes
                    .get(start..start + self.len)
                    .map(Stored::Static)
                    .ok_or_else(|| Error::not_safetensors(path, "a tensor lies past its end"))
            }
            // An empty range cannot be mapped.
            Data::File(_) if self.len == 0 => Ok(Stored::Static(&[])),
            Data::File(file) => {
                let io = |source| Error::io("map weights", path, source);
                if file.metadata().map_err(io)?.len() < self.start + self.len as u64 {
                    return Err(Error::not_safetensors(
                        path,
                        "it became shorter while it was in use",
                    ));
                }
                // SAFETY: the mapping is read-only and stays inside the file, as just checked.
                // Whoever changes a weights file in place while it is in use changes what the
                // model computes, as with any mapped file; files are replaced by renaming.
                let map = unsafe {
                    MmapOptions::new()
                        .offset(self.start)
                        .len(self.len)
                        .map(file)
                };
                Ok(Stored::Mapped(Arc::new(Mapping::new(map.map_err(io)?))))
            }
        }
    }
}
