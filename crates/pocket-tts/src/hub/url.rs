//! Downloads from any web server, stored under a name derived from the URL.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tts_core::OutputFile;
use ureq::Agent;

use super::error::HubError;
use super::problem::explain;
use super::{Hub, hex, lock};
use crate::location::Location;

/// Returns the path of a downloaded file: the SHA-256 of its URL, with the URL's extension, as in the
/// reference.
pub(super) fn path(folder: &Path, address: &str) -> PathBuf {
    let file = address.split(['?', '#']).next().unwrap_or_default();
    let file = file.rsplit('/').next().unwrap_or_default();
    let name = folder.join(hex(&Sha256::digest(address)));
    match Path::new(file)
        .extension()
        .and_then(|ending| ending.to_str())
    {
        // The extension distinguishes formats; unusual ones have no meaning.
        Some(ending) if ending.len() <= 16 && ending.chars().all(|c| c.is_ascii_alphanumeric()) => {
            name.with_added_extension(ending)
        }
        _ => name,
    }
}

/// Downloads a file into the cache.
pub(super) fn download(
    hub: &Hub,
    location: &Location,
    address: &str,
    folder: &Path,
) -> Result<PathBuf, HubError> {
    let path = path(folder, address);
    let cache_error = |source| HubError::Cache {
        location: location.to_string(),
        path: path.clone(),
        source,
    };
    let failed = |error: &ureq::Error| match error {
        ureq::Error::StatusCode(404 | 410) => HubError::NotFound {
            location: location.to_string(),
            reason: "the server has no such file".to_owned(),
        },
        error => HubError::Download {
            location: location.to_string(),
            reason: explain(error),
        },
    };
    let _lock = lock(&path.with_added_extension("lock")).map_err(cache_error)?;
    if path.is_file() {
        return Ok(path);
    }
    let agent: Agent = Agent::config_builder()
        .timeout_resolve(Some(hub.timeout))
        .timeout_connect(Some(hub.timeout))
        .timeout_recv_response(Some(hub.timeout))
        .timeout_per_read(Some(hub.timeout))
        .user_agent(concat!("pocket-tts-rs/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let body = agent
        .get(address)
        .call()
        .map_err(|error| failed(&error))?
        .into_body();
    let total = body.content_length();
    let mut body = body.into_reader();
    let mut file = OutputFile::create(&path).map_err(cache_error)?;
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        hub.report(location, bytes, total);
        match body
            .read(&mut buffer)
            .map_err(|error| failed(&error.into()))?
        {
            0 => break,
            read => {
                file.write_all(&buffer[..read]).map_err(cache_error)?;
                bytes += read as u64;
            }
        }
    }
    file.as_file().sync_all().map_err(cache_error)?;
    file.persist().map_err(cache_error)?;
    Ok(path)
}
