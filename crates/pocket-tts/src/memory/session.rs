//! Settings in force, and the recording that belongs to them.

mod files;
mod recording;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use leak_detect::Trace;
use tensor_pool::{Bytes, DEFAULT_MAX_POOL_SIZE};

use super::bytes::to_monitor;
use super::error::MemoryError;
use super::globals::{SessionToken, get_memory_monitor, get_memory_pool, set_default_limit, track};
use super::settings::Settings;
use crate::error::{Result, chain};

pub use files::ProfileFiles;
use recording::Recording;

/// Puts settings in force for as long as the session lives: the default limit, the size of the
/// [pool](super::get_memory_pool), and with [`profiling`](Settings::profiling) a recording of the whole
/// process: the [monitor](super::get_memory_monitor) is set back and started, spans become phases, and
/// `mprofile_*.dat` grows in [`profile_dir`](Settings::profile_dir). There is one session at a time.
///
/// Phases need a `tracing` subscriber with [`span_layer`]. A program without a global subscriber gets
/// one; a program that has its own adds the layer to it.
///
/// ```standalone_crate
/// use pocket_tts::memory::{Bytes, MemoryContext, Settings, init};
///
/// let session = init(Settings {
///     memory_limit: Some(Bytes::mib(500)),
///     ..Settings::default()
/// })?;
/// assert_eq!(MemoryContext::current().limit(), Some(Bytes::mib(500)));
/// assert!(init(Settings::default()).is_err());
/// drop(session);
/// assert_eq!(MemoryContext::current().limit(), None);
/// # Ok::<(), pocket_tts::Error>(())
/// ```
///
/// # Errors
///
/// [`MemoryError::SessionOpen`] where a session is open; [`MemoryError::Recording`] where the recording cannot
/// be begun, such as in a folder that does not exist; a limit of 0 bytes.
pub fn init(settings: Settings) -> Result<Session> {
    let token = SessionToken::acquire().ok_or(MemoryError::SessionOpen)?;
    // From here on, an early return restores the defaults.
    let applied = Applied { _token: token };
    if settings.memory_limit == Some(Bytes::ZERO) {
        return Err(MemoryError::ZeroLimit.into());
    }
    let monitor = get_memory_monitor();
    get_memory_pool().set_max_pool_size(settings.pool_size);
    set_default_limit(settings.memory_limit);
    match settings.memory_limit {
        Some(limit) => monitor.set_limit_bytes(to_monitor(limit))?,
        None => monitor.clear_limit(),
    }
    let recording = match settings.profiling {
        true => Some(Recording::begin(monitor, &settings)?),
        false => None,
    };
    let shared = Arc::new(Shared {
        settings,
        recording: Mutex::new(recording),
    });
    track(&shared);
    Ok(Session {
        shared,
        _applied: applied,
    })
}

/// As [`init`], with [`Settings::from_env`].
///
/// ```standalone_crate
/// fn main() -> Result<(), pocket_tts::Error> {
///     let _session = pocket_tts::memory::init_from_env()?;
///     // … all that the program does …
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// As [`init`], and [`MemoryError::Variable`] for a variable with a bad value.
pub fn init_from_env() -> Result<Session> {
    init(Settings::from_env()?)
}

/// Settings that are in force, and the recording. Dropping it ends both: files are written after an
/// error too.
#[derive(Debug)]
#[must_use = "the settings are in force only while this lives"]
pub struct Session {
    shared: Arc<Shared>,
    /// Dropped after the recording.
    _applied: Applied,
}

#[derive(Debug, Trace)]
struct Shared {
    #[trace(skip)]
    settings: Settings,
    #[trace(skip)]
    recording: Mutex<Option<Recording>>,
}

impl Session {
    /// What is in force.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Where the recording grows; `None` without profiling.
    pub fn recording(&self) -> Option<PathBuf> {
        let recording = self.shared.recording();
        recording
            .as_ref()
            .map(|recording| recording.path().to_owned())
    }

    /// Ends the session: writes the recording's files, logs the [summary](super::log_memory_summary),
    /// and sets back what [`init`] set. `None` without profiling, when nothing is written or logged.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Recording`] with the first file that could not be written; the others are written.
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

impl Shared {
    fn recording(&self) -> std::sync::MutexGuard<'_, Option<Recording>> {
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
        set_default_limit(None);
        get_memory_pool().set_max_pool_size(DEFAULT_MAX_POOL_SIZE);
        // Only a limit of 0 bytes is refused.
        get_memory_monitor().clear_limit();
    }
}
