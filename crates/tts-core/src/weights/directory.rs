//! The tensors of one or two files, as their headers describe them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::MmapOptions;
use safetensors::{Dtype, SafeTensors};

use super::tensor::{self, Floats, Mapping, RowTable, Stored};
use super::{Component, Result, TensorSpec, WeightMismatch, WeightsError};
use crate::ledger::Ledger;

/// Largest header that is read. The released models' headers are under 40 kB; the limit of the
/// `safetensors` crate is 100 MB.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Tensors by name.
#[derive(Debug)]
pub(crate) struct Directory {
    entries: BTreeMap<String, Entry>,
    /// The files, for messages.
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
    /// Each tensor is mapped when it is used and unmapped afterwards, so the pages of a tensor that
    /// was prepared into another layout are released immediately.
    File(File),
    Static(&'static [u8]),
}

impl Directory {
    /// Reads the header of a file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let io = |source| WeightsError::io("read weights", path, source);
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(WeightsError::format(path, "it is not a regular file"));
        }
        if metadata.len() == 0 {
            return Err(WeightsError::format(path, "it is empty"));
        }
        // SAFETY: as for the tensors' mappings, see `Location::map`. Only the header is read.
        let map = unsafe { MmapOptions::new().map(&file) }.map_err(io)?;
        let source = Source {
            path: path.to_owned(),
            data: Data::File(file),
        };
        Self::parse(&map, source)
    }

    /// Reads the header of static bytes; `name` is their path in messages.
    pub(crate) fn from_static(bytes: &'static [u8], name: &Path) -> Result<Self> {
        let source = Source {
            path: name.to_owned(),
            data: Data::Static(bytes),
        };
        Self::parse(bytes, source)
    }

    fn parse(bytes: &[u8], source: Source) -> Result<Self> {
        let path = source.path.clone();
        let refuse = |reason: String| Err(WeightsError::format(&path, reason));
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
        // The library checks that the tensors are adjacent and end where the file ends.
        let (header_len, metadata) = match SafeTensors::read_metadata(bytes) {
            Ok(read) => read,
            Err(safetensors::SafeTensorError::MetadataIncompleteBuffer) => {
                return refuse(format!(
                    "the tensors in its header do not fill the {len} bytes of the file exactly; if the file was cut off, download it again"
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

    /// Retains the tensors whose names satisfy a condition.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.entries.retain(|name, _| keep(name));
    }

    /// Renames every tensor; `None` removes it.
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

    /// Returns whether the name of any tensor satisfies a condition.
    pub(super) fn any(&self, condition: impl Fn(&str) -> bool) -> bool {
        self.entries.keys().any(|name| condition(name))
    }

    /// Joins each pair of tensors `…_g` and `…_v` into one weight-normalized tensor.
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
                return Err(WeightsError::format(
                    self.first_path(),
                    format!("it has {gain_name} but not {name}_v"),
                ));
            };
            let outputs = gain.shape.iter().product::<usize>();
            if outputs == 0 || direction.shape.first() != Some(&outputs) {
                return Err(WeightsError::format(
                    self.first_path(),
                    format!(
                        "{gain_name} has shape {:?}, which does not match {:?} of {name}_v",
                        gain.shape, direction.shape
                    ),
                ));
            }
            self.entries
                .insert(name, Entry::WeightNorm { gain, direction });
        }
        Ok(self)
    }

    /// Compares names, shapes and types with `specs`. Returns whether the voice encoder is present.
    pub(super) fn check(&self, specs: &[TensorSpec]) -> Result<bool> {
        let mut mismatch = WeightMismatch::default();
        let is_encoder = |spec: &TensorSpec| spec.component == Component::VoiceEncoder;
        let has_encoder = specs
            .iter()
            .any(|spec| is_encoder(spec) && self.entries.contains_key(&spec.name));
        let mut expected = BTreeSet::new();
        for spec in specs {
            expected.insert(spec.name.as_str());
            match self.entries.get(&spec.name) {
                None if is_encoder(spec) && !has_encoder => {}
                None => mismatch.missing.push(spec.name.clone()),
                Some(entry) => mismatch
                    .wrong
                    .extend(entry.differences(&spec.name, &spec.shape)),
            }
        }
        mismatch.unexpected.extend(
            self.entries
                .keys()
                .filter(|name| !expected.contains(name.as_str()))
                .cloned(),
        );
        self.refuse(mismatch).map(|()| has_encoder)
    }

    /// Checks that a tensor is present, and its shape and type.
    pub(super) fn check_shape(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.refuse(WeightMismatch {
            wrong: self.entry(name)?.differences(name, shape),
            ..Default::default()
        })
    }

    /// Fails if there are differences.
    fn refuse(&self, mismatch: WeightMismatch) -> Result<()> {
        if mismatch.is_empty() {
            return Ok(());
        }
        Err(WeightsError::Mismatch {
            paths: self.paths.clone(),
            mismatch: Box::new(mismatch),
        })
    }

    /// Reads a tensor's values.
    pub(crate) fn floats(&self, name: &str, ledger: &Ledger) -> Result<Floats> {
        let floats = match self.entry(name)? {
            Entry::Plain(location) => Floats::read(location.map(ledger)?, location.dtype),
            Entry::WeightNorm { gain, direction } => {
                let gains = Floats::read(gain.map(ledger)?, gain.dtype);
                let mut values = Floats::read(direction.map(ledger)?, direction.dtype).into_vec();
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
            Err(WeightsError::format(
                self.first_path(),
                format!("{name} holds values that are not finite; the file is damaged"),
            ))
        }
    }

    /// Returns a tensor's bytes, type and shape, or `None` if there is no such tensor.
    pub(crate) fn stored(
        &self,
        name: &str,
        ledger: &Ledger,
    ) -> Result<Option<(Stored, Dtype, &[usize])>> {
        match self.entries.get(name) {
            Some(Entry::Plain(location)) => Ok(Some((
                location.map(ledger)?,
                location.dtype,
                &location.shape,
            ))),
            _ => Ok(None),
        }
    }

    /// Returns a tensor's type, shape and stored bytes without mapping it, or `None` if there is no such
    /// tensor.
    pub(crate) fn describe(&self, name: &str) -> Option<(Dtype, &[usize], usize)> {
        match self.entries.get(name) {
            Some(Entry::Plain(location)) => Some((location.dtype, &location.shape, location.len)),
            _ => None,
        }
    }

    /// Opens a tensor as a table of rows.
    pub(super) fn row_table(&self, name: &str, width: usize, ledger: &Ledger) -> Result<RowTable> {
        match self.entry(name)? {
            Entry::Plain(location) => {
                Ok(RowTable::new(location.map(ledger)?, location.dtype, width))
            }
            Entry::WeightNorm { .. } => Err(WeightsError::format(
                self.first_path(),
                format!("{name} is weight-normalized, but embeddings are not"),
            )),
        }
    }

    /// Bytes of all tensors as stored.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.entries
            .values()
            .flat_map(Entry::locations)
            .map(|location| location.len as u64)
            .sum()
    }

    /// Number of parameters in all tensors.
    pub(super) fn parameters(&self) -> u64 {
        let count = |entry: &Entry| entry.shape().iter().product::<usize>() as u64;
        self.entries.values().map(count).sum()
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries
            .get(name)
            .ok_or_else(|| WeightsError::Mismatch {
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
    /// The differences from an expected shape and an accepted type.
    fn differences(&self, name: &str, shape: &[usize]) -> Vec<String> {
        let mut differences = Vec::new();
        for location in self.locations() {
            if !tensor::is_accepted(location.dtype) {
                differences.push(format!(
                    "{name} is {:?} (expected F32, F16 or BF16)",
                    location.dtype
                ));
            }
        }
        if self.shape() != shape {
            differences.push(format!("{name} is {:?} (expected {shape:?})", self.shape()));
        }
        differences
    }

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
    /// Maps the stored bytes.
    fn map(&self, ledger: &Ledger) -> Result<Stored> {
        let path = &self.source.path;
        match &self.source.data {
            Data::Static(bytes) => {
                let start = self.start as usize;
                bytes
                    .get(start..start + self.len)
                    .map(Stored::Static)
                    .ok_or_else(|| WeightsError::format(path, "a tensor ends after its last byte"))
            }
            // An empty range cannot be mapped.
            Data::File(_) if self.len == 0 => Ok(Stored::Static(&[])),
            Data::File(file) => {
                let io = |source| WeightsError::io("map weights", path, source);
                if file.metadata().map_err(io)?.len() < self.start + self.len as u64 {
                    return Err(WeightsError::format(
                        path,
                        "it became shorter while it was in use",
                    ));
                }
                // SAFETY: the mapping is read-only and ends inside the file, as checked above. As
                // with any mapped file, changing it in place while it is in use changes the
                // weights; files must be replaced by renaming.
                let map = unsafe {
                    MmapOptions::new()
                        .offset(self.start)
                        .len(self.len)
                        .map(file)
                };
                Ok(Stored::Mapped(Arc::new(Mapping::new(
                    map.map_err(io)?,
                    ledger,
                ))))
            }
        }
    }
}
