//! Sessions: applied settings and their recording.

mod files;
mod recording;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leak_detect::Trace;
use mem_monitor::Quantity;
use tensor_pool::DEFAULT_MAX_POOL_SIZE;

use super::error::SessionError;
use super::runtime::{SessionToken, get_memory_ledger, get_memory_monitor, get_memory_pool, track};
use super::settings::Settings;
use crate::error::Result;
use crate::source::chain;

pub use files::ProfileFiles;
use recording::Recording;

/// Applies settings while the returned session lives: the default limit, the size of the
/// [pool](super::get_memory_pool), and with [`profiling`](Settings::profiling) a recording of the whole
/// process. A recording resets and starts the [monitor](super::get_memory_monitor), records spans as
/// phases, and writes samples to `mprofile_*.dat` in [`profile_dir`](Settings::profile_dir). Only one
/// session can be open at a time.
///
/// Phases need a `tracing` subscriber with [`span_layer`](super::span_layer). If the program has no
/// global subscriber, `init` installs one; a program with its own adds the layer to it.
///
/// ```standalone_crate
/// use pocket_tts::memory::{MemoryContext, Settings, init};
///
/// let session = init(Settings::default().with_memory_limit_bytes(500 << 20))?;
/// assert_eq!(MemoryContext::current().limit_bytes(), Some(500 << 20));
/// assert!(init(Settings::default()).is_err());
/// drop(session);
/// assert_eq!(MemoryContext::current().limit_bytes(), None);
/// # Ok::<(), pocket_tts::Error>(())
/// ```
///
/// # Errors
///
/// [`SessionError::SessionOpen`] if a session is open, [`SessionError::ZeroLimit`] for a limit of 0
/// bytes, [`SessionError::Recording`] if the recording cannot be written, for example because its folder
/// does not exist.
pub fn init(settings: Settings) -> Result<Session> {
    let token = SessionToken::acquire().ok_or(SessionError::SessionOpen)?;
    // From here on, an early return restores the defaults.
    let applied = Applied { _token: token };
    if settings.memory_limit_bytes == Some(0) {
        return Err(SessionError::ZeroLimit.into());
    }
    let monitor = get_memory_monitor();
    get_memory_pool().set_max_pool_size(settings.pool_size);
    get_memory_ledger().set_limit_bytes(settings.memory_limit_bytes);
    match settings.memory_limit_bytes {
        Some(limit) => monitor.set_limit_bytes(Quantity::Counted, limit)?,
        None => monitor.clear_limit(),
    }
    let recording = match settings.profiling {
        true => Some(Recording::begin(monitor, &settings)?),
        false => None,
    };
    let shared = Arc::new(SharedSession {
        settings,
        recording: Mutex::new(recording),
    });
    track(&shared);
    Ok(Session {
        shared,
        _applied: applied,
    })
}

/// Applies the settings of the environment: [`init`] with [`Settings::from_env`].
///
/// ```standalone_crate
/// fn main() -> Result<(), pocket_tts::Error> {
///     let _session = pocket_tts::memory::init_from_env()?;
///     // … the rest of the program …
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// Those of [`init`], and [`SessionError::Variable`] for a variable with an invalid value.
pub fn init_from_env() -> Result<Session> {
    init(Settings::from_env()?)
}

/// Applied settings and their recording. Dropping the session ends both; the recording's files are
/// written after an error or a panic too.
///
/// The recording cannot be traced: it owns a thread and a file, and refers to the monitor of the process.
#[derive(Debug, Trace)]
#[must_use = "the settings apply only while this lives"]
pub struct Session {
    shared: Arc<SharedSession>,
    /// Dropped after the recording.
    #[trace(skip)]
    _applied: Applied,
}

#[derive(Debug, Trace)]
struct SharedSession {
    /// Paths and numbers, which own no `Arc`.
    #[trace(skip)]
    settings: Settings,
    /// Cannot be traced, see [`Session`].
    #[trace(skip)]
    recording: Mutex<Option<Recording>>,
}

impl Session {
    /// Returns the applied settings.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Returns the path of the recording's samples; `None` without profiling.
    pub fn recording(&self) -> Option<PathBuf> {
        let recording = self.shared.recording();
        recording
            .as_ref()
            .map(|recording| recording.path().to_owned())
    }

    /// Ends the session: writes the recording's files, logs the [summary](super::log_memory_summary)
    /// and restores the defaults. Without profiling, returns `None` and writes and logs nothing.
    ///
    /// # Errors
    ///
    /// [`SessionError::Recording`] for the first file that cannot be written. The other files are
    /// written.
    pub fn finish(self) -> Result<Option<ProfileFiles>> {
        self.shared.end()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.shared.end() {
            tracing::error!("{}", chain(&error));
        }
    }
}

impl SharedSession {
    fn recording(&self) -> MutexGuard<'_, Option<Recording>> {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> Result<Option<ProfileFiles>> {
        let recording = self.recording().take();
        recording
            .map(|recording| recording.end(&self.settings))
            .transpose()
    }
}

/// Restores the default settings when it is dropped.
#[derive(Debug)]
struct Applied {
    _token: SessionToken,
}

impl Drop for Applied {
    fn drop(&mut self) {
        get_memory_ledger().set_limit_bytes(None);
        get_memory_pool().set_max_pool_size(DEFAULT_MAX_POOL_SIZE);
        get_memory_monitor().clear_limit();
    }
}
