//! Errors of downloads.

use std::io;
use std::path::PathBuf;

use tts_core::ErrorKind;

/// A file could not be found or downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A local file does not exist or cannot be read.
    #[error("cannot open {}", path.display())]
    LocalFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// The file is not in the cache and downloads are disabled.
    #[error("{location} is not on this machine and downloads are disabled; {remedy}")]
    Offline {
        /// The file.
        location: String,
        /// How to get the file.
        remedy: String,
    },

    /// The server denies access to the file.
    #[error(
        "no access to {location} ({}): accept the terms at {page}, then log in with `hf auth login` \
         or set the environment variable HF_TOKEN",
        if *token_sent { "the access token was rejected" } else { "no access token was sent" },
    )]
    AccessDenied {
        /// The file.
        location: String,
        /// The page where access is granted.
        page: String,
        /// Whether a token was sent.
        token_sent: bool,
    },

    /// The server has no such file, revision or repository.
    #[error("{location} does not exist: {reason}")]
    NotFound {
        /// The file.
        location: String,
        /// What does not exist.
        reason: String,
    },

    /// The download failed.
    #[error("cannot download {location}: {reason}")]
    Download {
        /// The file.
        location: String,
        /// What failed, and what to do.
        reason: String,
    },

    /// The cache of downloads cannot be read or written.
    #[error("cannot store {location} in the cache at {}{}", path.display(), cache_remedy(source))]
    Cache {
        /// The file to store.
        location: String,
        /// The path in the cache.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },

    /// The cache folder is unknown.
    #[error(
        "cannot store {location}: this user has no home folder; set the environment variable HF_HOME \
         to a folder for downloads"
    )]
    NoCacheFolder {
        /// The file to store.
        location: String,
    },
}

impl HubError {
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::LocalFile { source, .. } | Self::Cache { source, .. } => ErrorKind::of_io(source),
            Self::Offline { .. } | Self::NotFound { .. } | Self::NoCacheFolder { .. } => {
                ErrorKind::NotFound
            }
            Self::AccessDenied { .. } => ErrorKind::NoAccess,
            Self::Download { .. } => ErrorKind::Internal,
        }
    }
}

fn cache_remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some disk space, or set HF_HOME to a folder on another disk (a partial download \
             is resumed)"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; set HF_HOME to a writable folder"
        }
        _ => "",
    }
}
