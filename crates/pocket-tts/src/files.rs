//! Files on this machine, with or without downloads.

use std::path::{Path, PathBuf};

use tts_core::config::Location;

use crate::error::Result;
use crate::model::LoadOptions;
use crate::source::SourceError;

/// Finds files by their location.
pub(crate) struct Files {
    #[cfg(feature = "hub")]
    hub: crate::hub::Hub,
}

impl Files {
    pub(crate) fn new(options: &LoadOptions) -> Self {
        #[cfg(not(feature = "hub"))]
        let _ = options;
        Self {
            #[cfg(feature = "hub")]
            hub: crate::hub::Hub::new(options.hub.clone()),
        }
    }

    /// Path of the file on this machine, after downloading it if need be.
    pub(crate) fn resolve(&self, location: &Location) -> Result<PathBuf> {
        match location {
            Location::Local(path) => local(path),
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

fn local(path: &Path) -> Result<PathBuf> {
    let refuse = |source| SourceError::LocalFile {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path).map_err(refuse)? {
        kind if kind.is_file() => Ok(path.to_owned()),
        kind if kind.is_dir() => Err(refuse(std::io::Error::other("it is a folder")).into()),
        _ => Err(refuse(std::io::Error::other("it is not a regular file")).into()),
    }
}
