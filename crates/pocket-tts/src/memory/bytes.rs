//! How amounts and times are written to JSON: as plain numbers, in the unit that the name says.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tensor_pool::Bytes;

pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.get().serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    u64::deserialize(deserializer).map(Bytes)
}

/// An amount that may be unknown: `null`.
pub(super) mod optional {
    use super::*;

    pub(in crate::memory) fn serialize<S: Serializer>(
        bytes: &Option<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.map(Bytes::get).serialize(serializer)
    }

    pub(in crate::memory) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Bytes))
    }
}

/// A time in seconds.
pub(super) mod seconds {
    use std::time::Duration;

    use serde::de::Error;

    use super::*;

    pub(in crate::memory) fn serialize<S: Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.as_secs_f64().serialize(serializer)
    }

    pub(in crate::memory) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
    }
}

/// A path, which in JSON must be Unicode: what is not, is replaced.
pub(super) mod path {
    use std::path::{Path, PathBuf};

    use super::*;

    pub(in crate::memory) fn serialize<S: Serializer>(
        path: &Path,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        path.to_string_lossy().serialize(serializer)
    }

    pub(in crate::memory) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        String::deserialize(deserializer).map(PathBuf::from)
    }
}

/// The monitor's bytes as the pools', which are shown the same.
pub(super) fn of_monitor(bytes: Option<u64>) -> Option<Bytes> {
    bytes.map(Bytes)
}

/// The pools' bytes as the monitor's.
pub(super) fn to_monitor(bytes: Bytes) -> u64 {
    bytes.get()
}
