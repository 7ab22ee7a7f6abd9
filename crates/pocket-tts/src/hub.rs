//! Files by [`Location`]: local files, and downloads with a cache.
//!
//! Files of Hugging Face repositories are downloaded with `hf-hub`, into the same cache as that of
//! Python's `huggingface_hub` (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>), so
//! both use each other's downloads.

mod error;
mod options;
mod problem;
mod repository;
mod timeout;
mod url;

use std::fs::{File, create_dir_all};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leak_detect::Trace;

use crate::location::Location;

pub use error::HubError;
pub use options::{HubOptions, Progress};
use repository::Wanted;

/// Finds files by location, and downloads those that are not in the cache.
///
/// ```no_run
/// # use pocket_tts::hub::{Hub, HubOptions};
/// # use pocket_tts::Location;
/// let hub = Hub::new(HubOptions::from_env());
/// let location = Location::parse("hf://kyutai/pocket-tts/README.md", ".")?;
/// println!("{}", hub.resolve(&location)?.display());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Trace)]
pub struct Hub {
    options: HubOptions,
    /// Longest time without data from the server. Slow transfers are allowed.
    timeout: Duration,
}

impl Hub {
    /// Creates a hub, without accessing files or the network.
    pub fn new(options: HubOptions) -> Self {
        Self {
            options,
            // `huggingface_hub` waits 10 seconds per response; a download needs up to three until its first
            // byte.
            timeout: Duration::from_secs(30),
        }
    }

    /// Returns the file's local path. If the file is not in the cache, downloads it first and blocks.
    ///
    /// A cached file is used without checking whether its branch has changed.
    ///
    /// # Errors
    /// The file does not exist, or it cannot be downloaded or stored. Each error names the file and the
    /// remedy.
    pub fn resolve(&self, location: &Location) -> Result<PathBuf, HubError> {
        if let Location::Local(path) = location {
            let local_file = |source| HubError::LocalFile {
                path: path.clone(),
                source,
            };
            return match std::fs::metadata(path).map_err(local_file)?.is_file() {
                true => Ok(path.clone()),
                false => Err(local_file(std::io::Error::other(
                    "it is not a regular file",
                ))),
            };
        }
        if let Some(path) = self.cached(location) {
            return Ok(path);
        }
        if self.options.offline {
            return Err(HubError::Offline {
                location: location.to_string(),
                remedy: remedy(location),
            });
        }
        let folder = self
            .folder(location)
            .ok_or_else(|| HubError::NoCacheFolder {
                location: location.to_string(),
            })?;
        let path = match location {
            Location::Local(path) => path.clone(),
            Location::Url(address) => url::download(self, location, address, &folder)?,
            Location::Hub {
                repo,
                file,
                revision,
            } => Wanted::new(location, repo, file, revision).download(self, folder)?,
        };
        if let Some(progress) = &self.options.progress {
            progress.downloaded(location);
        }
        Ok(path)
    }

    /// Returns the file's path if it is local or in the cache, without network access.
    pub fn cached(&self, location: &Location) -> Option<PathBuf> {
        match location {
            Location::Local(path) => Some(path.clone()),
            Location::Url(address) => Some(url::path(&self.folder(location)?, address)),
            Location::Hub {
                repo,
                file,
                revision,
            } => Wanted::new(location, repo, file, revision).find(self.folder(location)?),
        }
        .filter(|path| path.is_file())
    }

    fn folder(&self, location: &Location) -> Option<PathBuf> {
        match location {
            Location::Url(_) => self.options.url_folder(),
            _ => self.options.repository_folder(),
        }
    }

    fn report(&self, location: &Location, bytes: u64, total: Option<u64>) {
        if let Some(progress) = &self.options.progress {
            progress.downloading(location, bytes, total);
        }
    }
}

/// Formats bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits for a lock file, which is created if it does not exist. The lock is released when the file is
/// dropped. It synchronizes threads and programs that download the same file.
fn lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        create_dir_all(folder)?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    match file.lock() {
        // Some network file systems have no locks; the complete file is checked anyway.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        result => result.map(|()| file),
    }
}

/// Describes how to get a file while downloads are disabled.
fn remedy(location: &Location) -> String {
    match location {
        Location::Hub {
            repo,
            file,
            revision,
        } => {
            let revision = revision
                .iter()
                .map(|revision| format!(" --revision {revision}"))
                .collect::<String>();
            format!(
                "allow downloads once, or run `hf download {repo} {file}{revision}` on a machine with a network \
                 and copy its cache folder here"
            )
        }
        _ => "allow downloads once, or download it by other means and give its path instead"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;
