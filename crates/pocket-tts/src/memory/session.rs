//! Settings in force, and the recording that belongs to them.

mod files;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use leak_detect::Trace;
use mem_monitor::{MemoryMonitor, Recorder, SpanLayer};
use tensor_pool::{Bytes, DEFAULT_MAX_POOL_SIZE};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use super::bytes::to_monitor;
use super::context::set_default_limit;
use super::globals::{get_memory_monitor, get_memory_pool, set_tracking, track};
use super::parts;
use super::profile::CHECK_INTERVAL;
use super::report::ProfileReport;
use super::settings::Settings;
use super::summary;
use crate::error::{Error, Result};

pub use files::ProfileFiles;

/// The timeline's size in the `.svg` file, in pixels: as wide as a page, with room for six phases.
const SVG_SIZE: (u32, u32) = (1200, 560);

/// What timelines are titled.
const TITLE: &str = "Pocket TTS";

/// Whether a session is open.
static OPEN: AtomicBool = AtomicBool::new(false);

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
/// [`Error::SessionOpen`] where a session is open; [`Error::ProfileFile`] where the recording cannot
/// be begun, such as in a folder that does not exist; a limit of 0 bytes.
pub fn init(settings: Settings) -> Result<Session> {
    if OPEN.swap(true, Ordering::SeqCst) {
        return Err(Error::SessionOpen);
    }
    // From here on, dropping it takes back whatever was put in force.
    let in_force = InForce;
    if settings.memory_limit == Some(Bytes::ZERO) {
        return Err(tts_core::Error::Setting {
            name: "memory_limit",
            found: Bytes::ZERO.to_string(),
            allowed: "at least one byte, or no limit",
        }
        .into());
    }
    let monitor = get_memory_monitor();
    get_memory_pool().set_max_pool_size(settings.pool_size);
    set_default_limit(settings.memory_limit);
    monitor.set_limit(settings.memory_limit.map(to_monitor))?;
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
        _in_force: in_force,
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
/// As [`init`], and [`Error::Variable`] for a variable with a bad value.
pub fn init_from_env() -> Result<Session> {
    init(Settings::from_env()?)
}

/// A `tracing` layer that makes phases of spans, for programs with a subscriber of their own; others
/// need it not, see [`init`].
///
/// ```
/// use pocket_tts::memory::{get_memory_monitor, span_layer};
/// use tracing_subscriber::{layer::SubscriberExt, registry::Registry};
///
/// let subscriber = Registry::default().with(span_layer());
/// tracing::subscriber::with_default(subscriber, || {
///     tracing::info_span!("of the program").in_scope(|| ());
/// });
/// let spans = get_memory_monitor().span_stats();
/// assert!(spans.iter().any(|span| span.name == "of the program"));
/// ```
pub fn span_layer() -> SpanLayer {
    get_memory_monitor().span_layer()
}

/// Settings that are in force, and the recording. Dropping it ends both: files are written after an
/// error too.
#[derive(Debug)]
#[must_use = "the settings are in force only while this lives"]
pub struct Session {
    shared: Arc<Shared>,
    /// After the recording.
    _in_force: InForce,
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
            .map(|recording| recording.recorder.path().to_owned())
    }

    /// Ends the session: writes the recording's files, logs the [summary](super::log_memory_summary),
    /// and sets back what [`init`] set. `None` without profiling, when nothing is written or logged.
    ///
    /// # Errors
    ///
    /// [`Error::ProfileFile`] with the first file that could not be written; the others are written.
    pub fn finish(self) -> Result<Option<ProfileFiles>> {
        self.shared.end()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.shared.end() {
            tracing::error!("{error}");
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

/// That settings are in force: dropping it takes them back.
#[derive(Debug)]
struct InForce;

impl Drop for InForce {
    fn drop(&mut self) {
        set_default_limit(None);
        get_memory_pool().set_max_pool_size(DEFAULT_MAX_POOL_SIZE);
        // Only a limit of 0 bytes is refused.
        let _ = get_memory_monitor().set_limit(None);
        OPEN.store(false, Ordering::SeqCst);
    }
}

/// A recording that is going on.
#[derive(Debug)]
struct Recording {
    recorder: Recorder,
    watch: Watch,
    start: Instant,
}

impl Recording {
    fn begin(monitor: &'static MemoryMonitor, settings: &Settings) -> Result<Self> {
        monitor.reset();
        let recorder = Recorder::mprof(monitor, &settings.profile_dir)?;
        // Where there is a subscriber already, it has the layer or there are no phases.
        let subscriber = Registry::default().with(span_layer());
        let _ = tracing::subscriber::set_global_default(subscriber);
        let watch = Watch::start(monitor)?;
        set_tracking(true);
        for model in parts::models() {
            track(&model);
            model.voices.track();
        }
        Ok(Self {
            recorder,
            watch,
            start: Instant::now(),
        })
    }

    fn end(self, settings: &Settings) -> Result<ProfileFiles> {
        let Self {
            recorder,
            watch,
            start,
        } = self;
        set_tracking(false);
        let monitor = get_memory_monitor();
        let report = ProfileReport::of(monitor, settings, start.elapsed());
        summary::log(&report.summary);
        drop(watch);
        let timeline = monitor.timeline(TITLE);
        let path = recorder.path().to_owned();
        // All are tried before the first failure is told.
        let recorded = recorder.finish();
        let html = write(&path, "html", timeline.to_html());
        let svg = write(&path, "svg", timeline.to_svg(SVG_SIZE.0, SVG_SIZE.1));
        let json = serde_json::to_string_pretty(&report)
            .map_err(|error| files::failed(&path.with_extension("json"), error.into()));
        let report = json.and_then(|json| write(&path, "json", Ok(json)));
        let missing = recorded?;
        if missing > 0 {
            tracing::warn!(
                "{missing} samples and spans are missing in {}",
                path.display()
            );
        }
        Ok(ProfileFiles {
            html: html?,
            svg: svg?,
            report: report?,
            recording: path,
        })
    }
}

fn write(
    recording: &Path,
    ending: &str,
    contents: std::result::Result<String, mem_monitor::Error>,
) -> Result<PathBuf> {
    let path = recording.with_extension(ending);
    files::write_whole(&path, contents?.as_bytes())?;
    Ok(path)
}

/// The monitor's thread at a recording's pace; dropping it sets back what was.
#[derive(Debug)]
struct Watch {
    monitor: &'static MemoryMonitor,
    interval_before: std::time::Duration,
    was_running: bool,
}

impl Watch {
    fn start(monitor: &'static MemoryMonitor) -> Result<Self> {
        let watch = Self {
            monitor,
            interval_before: monitor.check_interval(),
            was_running: monitor.is_monitoring(),
        };
        monitor.set_check_interval(CHECK_INTERVAL)?;
        monitor.start_monitoring()?;
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.was_running {
            self.monitor.stop_monitoring();
        }
        if let Err(error) = self.monitor.set_check_interval(self.interval_before) {
            tracing::error!("{error}");
        }
    }
}
