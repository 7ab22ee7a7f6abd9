//! Where downloads come from and where they are kept.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::location::Location;

/// Watches downloads. Its methods are called from the thread that downloads, and should return soon.
pub trait Progress: Send + Sync {
    /// `bytes` of the file are here, of `total` where the server tells; called many times.
    fn downloading(&self, location: &Location, bytes: u64, total: Option<u64>);

    /// The file is whole and in its place.
    fn downloaded(&self, location: &Location);
}

/// Where downloads come from and where they are kept.
#[derive(Clone, Default)]
pub struct HubOptions {
    /// Use what is on this machine and connect to nothing.
    pub offline: bool,
    /// Folder for downloads; the folder that `huggingface_hub` uses by default when `None`.
    /// Files from other servers are kept in its subfolder `urls`, or in `~/.cache/pocket_tts` when `None`.
    pub cache_dir: Option<PathBuf>,
    /// Access token of a Hugging Face account. It is sent to `endpoint` and the storage that this refers to.
    pub token: Option<String>,
    /// The Hugging Face server; `https://huggingface.co` when `None`.
    pub endpoint: Option<String>,
    /// Is told how downloads go on.
    pub progress: Option<Arc<dyn Progress>>,
}

impl HubOptions {
    /// Options from the environment variables that `huggingface_hub` reads: `HF_HUB_CACHE`, `HF_HOME`,
    /// `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_ENDPOINT` and `HF_HUB_OFFLINE`. Without `HF_TOKEN` the
    /// token is taken that `hf auth login` has stored.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    pub(super) fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let text = |name| {
            let value = variable(name)?.into_string().ok()?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let home = path("HF_HOME").or_else(default_home);
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
        let stored_token = || {
            let token = std::fs::read_to_string(token_file?).ok()?;
            Some(token.trim().to_owned()).filter(|token| !token.is_empty())
        };
        let is_set = |value: String| {
            matches!(
                value.to_ascii_uppercase().as_str(),
                "1" | "ON" | "YES" | "TRUE"
            )
        };
        Self {
            offline: text("HF_HUB_OFFLINE").is_some_and(is_set),
            cache_dir: path("HF_HUB_CACHE").or_else(|| Some(path("HF_HOME")?.join("hub"))),
            token: text("HF_TOKEN").or_else(stored_token),
            endpoint: text("HF_ENDPOINT"),
            progress: None,
        }
    }

    /// Folder of the repositories' files.
    pub(super) fn repository_folder(&self) -> Option<PathBuf> {
        self.cache_dir
            .clone()
            .or_else(|| Some(default_home()?.join("hub")))
    }

    /// Folder of files from other servers; the reference keeps its own in the same default folder.
    pub(super) fn url_folder(&self) -> Option<PathBuf> {
        match &self.cache_dir {
            Some(folder) => Some(folder.join("urls")),
            None => Some(std::env::home_dir()?.join(".cache").join("pocket_tts")),
        }
    }

    /// The Hugging Face server, without a slash at the end.
    pub(super) fn endpoint(&self) -> &str {
        self.endpoint
            .as_deref()
            .unwrap_or("https://huggingface.co")
            .trim_end_matches('/')
    }
}

/// `huggingface_hub` keeps its files here when `HF_HOME` is not set.
fn default_home() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from);
    Some(
        cache
            .or_else(|| Some(std::env::home_dir()?.join(".cache")))?
            .join("huggingface"),
    )
}
