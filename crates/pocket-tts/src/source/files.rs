//! Files by location, with or without downloads.

use std::path::{Path, PathBuf};

use leak_detect::Trace;

use super::error::{OpenError, SourceError};
#[cfg(feature = "hub")]
use crate::hub::{Hub, HubOptions};
use crate::location::Location;

/// Finds files by location.
#[derive(Trace)]
pub(crate) struct Files {
    #[cfg(feature = "hub")]
    hub: Hub,
}

impl Files {
    #[cfg(feature = "hub")]
    pub(crate) fn new(options: HubOptions) -> Self {
        Self {
            hub: Hub::new(options),
        }
    }

    #[cfg(not(feature = "hub"))]
    pub(crate) fn new() -> Self {
        Self {}
    }

    /// Returns the file's local path; downloads the file first if it is not in the cache.
    pub(crate) fn resolve(&self, location: &Location) -> Result<PathBuf, OpenError> {
        match location {
            Location::Local(path) => Ok(local(path)?),
            #[cfg(feature = "hub")]
            remote => Ok(self.hub.resolve(remote)?),
            #[cfg(not(feature = "hub"))]
            remote => Err(SourceError::NoDownloads {
                location: remote.to_string(),
            }
            .into()),
        }
    }
}

fn local(path: &Path) -> Result<PathBuf, SourceError> {
    let reject = |source| SourceError::LocalFile {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path).map_err(reject)? {
        kind if kind.is_file() => Ok(path.to_owned()),
        kind if kind.is_dir() => Err(reject(std::io::ErrorKind::IsADirectory.into())),
        _ => Err(reject(std::io::Error::other("it is not a regular file"))),
    }
}
