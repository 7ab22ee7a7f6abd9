//! Downloads from Hugging Face repositories with `hf-hub`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::api::sync::{ApiBuilder, ApiError, Metadata};
use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest, Sha256};

use super::error::HubError;
use super::problem::{explain, is_of_storage};
use super::{Hub, hex, lock, timeout};
use crate::location::Location;

/// The default branch.
const DEFAULT_REVISION: &str = "main";
/// Most attempts to start or resume a download. `hf-hub` has its own attempts, but its second one starts
/// at the first byte and appends to the bytes of an earlier run.
const ATTEMPTS: u32 = 4;
/// Pause before a broken download is resumed.
const PAUSE: Duration = Duration::from_millis(250);

/// A file of a repository.
pub(super) struct Wanted<'a> {
    location: &'a Location,
    repo: &'a str,
    file: &'a str,
    revision: &'a str,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(
        location: &'a Location,
        repo: &'a str,
        file: &'a str,
        revision: &'a Option<String>,
    ) -> Self {
        Self {
            location,
            repo,
            file,
            revision: revision.as_deref().unwrap_or(DEFAULT_REVISION),
        }
    }

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo.to_owned(), RepoType::Model, revision.to_owned())
    }

    /// Returns the file's path in the cache, if it exists.
    pub(super) fn find(&self, folder: PathBuf) -> Option<PathBuf> {
        let cache = Cache::new(folder).repo(self.at(self.revision));
        // `hf-hub` searches only `refs`, which lacks files that `huggingface_hub` downloaded by commit.
        let of_commit = cache.pointer_path(self.revision).join(self.file);
        [Some(of_commit), cache.get(self.file)]
            .into_iter()
            .flatten()
            .find(|path| path.is_file())
    }

    /// Downloads the file into the cache.
    pub(super) fn download(&self, hub: &Hub, folder: PathBuf) -> Result<PathBuf, HubError> {
        // `hf-hub` does not escape names in URLs.
        let is_special = |c: char| c.is_whitespace() || "?#%\"<>^`{|}".contains(c);
        if self.file.contains(is_special) || self.revision.contains(is_special) {
            return Err(self.failed("its name contains a character that URLs cannot contain"));
        }
        let cache = Cache::new(folder.clone());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(hub.options.endpoint().to_owned())
            .with_token(hub.options.token.clone())
            .with_user_agent("pocket-tts-rs", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| self.explained(hub, &folder, error))?;
        let address = api.repo(self.at(self.revision)).url(self.file);
        let metadata_api = api.clone();
        let metadata = timeout::run(
            hub.timeout,
            |_| (),
            move |_| metadata_api.metadata(&address),
        )
        .map_err(|error| self.explained(hub, &folder, error))?;
        let (commit, etag) = (metadata.commit_hash(), metadata.etag());
        // The server chooses these, and `hf-hub` makes paths from them, which must not lead out of the cache.
        if !is_inside(commit) || !is_inside(etag) {
            return Err(self.failed("its server sent a commit or an ETag that is not a valid name"));
        }

        // From here on the file of that commit is used, even if the branch changes meanwhile.
        let places = cache.repo(self.at(commit));
        let blob = places.blob_path(etag);
        let path = places.pointer_path(commit).join(self.file);
        let cache_error = |source| self.explained(hub, &blob, ApiError::IoError(source));
        // `huggingface_hub` locks the same file.
        let locks = folder.join(".locks").join(self.at(commit).folder_name());
        let _lock = lock(&locks.join(format!("{etag}.lock"))).map_err(cache_error)?;
        let total = metadata.size() as u64;
        let mut attempts = 0;
        while !path.is_file() {
            prepare(&blob, &path, total).map_err(cache_error)?;
            let (repo, file) = (api.repo(self.at(commit)), self.file.to_owned());
            let result = timeout::run(
                hub.timeout,
                |bytes| hub.report(self.location, bytes, Some(total)),
                move |counter| repo.download_with_progress(&file, counter),
            );
            attempts += 1;
            match result {
                Ok(path) => {
                    if !is_whole(&path, &metadata).map_err(cache_error)? {
                        remove(&path)
                            .and_then(|()| remove(&blob))
                            .map_err(cache_error)?;
                        return Err(self.failed(
                            "its length or its SHA-256 is wrong; the download was deleted, try again",
                        ));
                    }
                }
                Err(error) => {
                    let is_over = attempts == ATTEMPTS || timeout::is_timeout(&error);
                    match self.explained(hub, &blob, error) {
                        HubError::Download { .. } if !is_over => thread::sleep(PAUSE),
                        error => return Err(error),
                    }
                }
            }
        }
        cache
            .repo(self.at(self.revision))
            .create_ref(commit)
            .map_err(cache_error)?;
        Ok(path)
    }

    fn failed(&self, reason: impl Into<String>) -> HubError {
        HubError::Download {
            location: self.location.to_string(),
            reason: reason.into(),
        }
    }

    /// Converts an error of `hf-hub`; `path` is the file that was written.
    fn explained(&self, hub: &Hub, path: &Path, error: ApiError) -> HubError {
        let (location, endpoint) = (self.location.to_string(), hub.options.endpoint());
        match error {
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(401 | 403) => HubError::AccessDenied {
                    location,
                    page: format!("{endpoint}/{}", self.repo),
                    token_sent: hub.options.token.is_some(),
                },
                ureq::Error::StatusCode(404) => HubError::NotFound {
                    location,
                    reason: format!(
                        "{endpoint} has no repository {}, or the repository has no revision {} with a file {}",
                        self.repo,
                        self.revision,
                        self.file
                    ),
                },
                error => self.failed(explain(&error)),
            },
            ApiError::IoError(source) if is_of_storage(&source) => HubError::Cache {
                location,
                path: path.to_owned(),
                source,
            },
            ApiError::IoError(error) => self.failed(explain(&error.into())),
            ApiError::MissingHeader(name) | ApiError::InvalidHeader(name) => {
                self.failed(format!(
                    "the response has no valid {name}: this is not a Hugging Face server, or a proxy changes its responses"
                ))
            }
            ApiError::LockAcquisition(path) => self.failed(format!(
                "another program is downloading it ({} is locked); try again later",
                path.display()
            )),
            error => self.failed(error.to_string()),
        }
    }
}

/// Whether a path, joined to a folder, stays inside the folder.
fn is_inside(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name)
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
}

/// Prepares a partial download for `hf-hub`, which can resume a `.part` file only if it is incomplete.
fn prepare(blob: &Path, path: &Path, total: u64) -> io::Result<()> {
    let partial = blob.with_extension("part");
    let length = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    // The same contents may exist from another commit; `hf-hub` would download them again.
    if length(&partial) < total && length(blob) == total {
        fs::copy(blob, &partial)?;
    }
    if length(&partial) > total {
        remove(&partial)?;
    } else if length(&partial) == total {
        File::options()
            .write(true)
            .open(&partial)?
            .set_len(total.saturating_sub(1))?;
    }
    // A link to a deleted blob would block a new one.
    remove(path)
}

/// Removes a file or link, if it exists.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Checks a file's length, and its SHA-256 if that is the ETag, as for all files in large storage.
fn is_whole(path: &Path, metadata: &Metadata) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let etag = metadata.etag();
    if file.metadata()?.len() != metadata.size() as u64 {
        return Ok(false);
    }
    if etag.len() != 64 || !etag.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(true);
    }
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&digest.finalize()).eq_ignore_ascii_case(etag)),
            read => digest.update(&buffer[..read]),
        }
    }
}
