//! Files by their [`Location`]: local ones, and downloads that are made once and kept.
//!
//! Files of Hugging Face repositories are downloaded by `hf-hub`, and kept where and how Python's
//! `huggingface_hub` keeps them (<https://huggingface.co/docs/huggingface_hub/guides/manage-cache>), so that
//! each finds what the other has downloaded.

mod error;
mod lock;
mod options;
mod patience;
mod problem;
mod repository;
mod url;

use std::path::PathBuf;
use std::time::Duration;

use crate::location::Location;

pub use error::HubError;
pub use options::{HubOptions, Progress};
use repository::Wanted;

/// Finds files by their location and downloads those that are not on this machine.
///
/// ```no_run
/// # use pocket_tts::hub::{Hub, HubOptions};
/// # use crate::location::Location;
/// let hub = Hub::new(HubOptions::from_env());
/// let location = Location::parse("hf://kyutai/pocket-tts/README.md", ".")?;
/// println!("{}", hub.resolve(&location)?.display());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hub {
    options: HubOptions,
    /// How long a server may be silent. Slow is fine.
    patience: Duration,
}

impl Hub {
    /// Makes a hub. Nothing is read, written or connected to yet.
    pub fn new(options: HubOptions) -> Self {
        Self {
            options,
            // `huggingface_hub` waits 10 seconds for each answer; a download needs up to three until its first byte.
            patience: Duration::from_secs(30),
        }
    }

    /// Path of the file on this machine, after downloading it if need be. It blocks until then.
    ///
    /// A file found in the cache is taken as it is: nothing is asked whether a branch has moved on.
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
                false => Err(local_file(std::io::Error::other("it is no file"))),
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

    /// Path of the file if it is on this machine; no network is used.
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

/// Bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
