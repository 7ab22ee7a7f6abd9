//! Settings of downloads.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use leak_detect::Trace;

use crate::location::Location;

/// Observes downloads. The downloading thread calls the methods, so they should return quickly.
///
/// A model owns the observer of its [`HubOptions`]. [`Trace`](crate::memory::Trace) reports the `Arc`s that
/// the observer owns, so the [detector](crate::memory::get_cycle_detector) finds a cycle if one of them
/// leads back to the model. An observer without `Arc`s reports nothing:
///
/// ```
/// use pocket_tts::Location;
/// use pocket_tts::hub::Progress;
/// use pocket_tts::memory::{Trace, Tracer};
///
/// struct Log;
///
/// impl Progress for Log {
///     fn downloading(&self, _: &Location, _: u64, _: Option<u64>) {}
///
///     fn downloaded(&self, location: &Location) {
///         eprintln!("downloaded {location}");
///     }
/// }
///
/// impl Trace for Log {
///     fn trace<'a>(&'a self, _: &mut Tracer<'a>) {}
/// }
/// ```
pub trait Progress: Trace + Send + Sync {
    /// Called repeatedly: `bytes` of the file have been received, of `total` if the server reports it.
    fn downloading(&self, location: &Location, bytes: u64, total: Option<u64>);

    /// Called when the file is complete.
    fn downloaded(&self, location: &Location);
}

/// The server, the cache and the access token of downloads.
///
/// ```
/// use pocket_tts::hub::HubOptions;
///
/// let options = HubOptions::from_env().with_offline().with_cache_dir("models");
/// assert!(options.offline);
/// ```
#[derive(Clone, Default, Trace)]
#[non_exhaustive]
pub struct HubOptions {
    /// Use only cached files, without network access.
    pub offline: bool,
    /// Cache folder for downloads; the default folder of `huggingface_hub` when `None`. Files from other
    /// servers are stored in its subfolder `urls`, or in `~/.cache/pocket_tts` when `None`.
    pub cache_dir: Option<PathBuf>,
    /// Access token of a Hugging Face account. It is sent to `endpoint` and the storage that it redirects
    /// to.
    pub token: Option<String>,
    /// The Hugging Face server; `https://huggingface.co` when `None`.
    pub endpoint: Option<String>,
    /// Observes downloads.
    pub progress: Option<Arc<dyn Progress>>,
}

impl HubOptions {
    /// Reads the environment variables of `huggingface_hub`: `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN`,
    /// `HF_TOKEN_PATH`, `HF_ENDPOINT` and `HF_HUB_OFFLINE`. Without `HF_TOKEN`, the token stored by
    /// `hf auth login` is used.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Disables network access.
    #[must_use]
    pub fn with_offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Sets the cache folder.
    #[must_use]
    pub fn with_cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// Sets the observer of downloads.
    #[must_use]
    pub fn with_progress(mut self, progress: impl Progress + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
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

    /// Returns the cache folder of repositories.
    pub(super) fn repository_folder(&self) -> Option<PathBuf> {
        self.cache_dir
            .clone()
            .or_else(|| Some(default_home()?.join("hub")))
    }

    /// Returns the cache folder of other servers; the default folder is also that of the reference.
    pub(super) fn url_folder(&self) -> Option<PathBuf> {
        match &self.cache_dir {
            Some(folder) => Some(folder.join("urls")),
            None => Some(std::env::home_dir()?.join(".cache").join("pocket_tts")),
        }
    }

    /// Returns the Hugging Face server, without a trailing slash.
    pub(super) fn endpoint(&self) -> &str {
        self.endpoint
            .as_deref()
            .unwrap_or("https://huggingface.co")
            .trim_end_matches('/')
    }
}

/// Returns the folder that `huggingface_hub` uses if `HF_HOME` is not set.
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
