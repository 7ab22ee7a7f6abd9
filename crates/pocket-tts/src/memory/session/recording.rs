//! The recording of a session.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mem_monitor::{MemoryMonitor, Recorder};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use super::files::{self, ProfileFiles};
use crate::error::Result;
use crate::memory::error::SessionError;
use crate::memory::profile::CHECK_INTERVAL;
use crate::memory::report::ProfileReport;
use crate::memory::runtime::{get_memory_monitor, models, set_tracking, span_layer};
use crate::memory::settings::Settings;
use crate::memory::summary;

/// Size of the timeline in the `.svg` file, in pixels: the width of a page, and the height of six phases.
const SVG_SIZE: (u32, u32) = (1200, 560);

/// Title of the timeline.
const TITLE: &str = "Pocket TTS";

/// A recording in progress.
#[derive(Debug)]
pub(super) struct Recording {
    recorder: Recorder,
    watch: Watch,
    start: Instant,
}

impl Recording {
    pub(super) fn begin(monitor: &'static MemoryMonitor, settings: &Settings) -> Result<Self> {
        monitor.reset();
        let recorder = Recorder::mprof(monitor, &settings.profile_dir)?;
        // This fails if the program has a subscriber, which records phases only if it has the layer.
        let subscriber = Registry::default().with(span_layer());
        let _ = tracing::subscriber::set_global_default(subscriber);
        let watch = Watch::start(monitor)?;
        set_tracking(true);
        for model in models().all() {
            model.track();
        }
        Ok(Self {
            recorder,
            watch,
            start: Instant::now(),
        })
    }

    /// Returns the path of the samples.
    pub(super) fn path(&self) -> &Path {
        self.recorder.path()
    }

    /// Ends the recording: writes the other files and logs the summary.
    pub(super) fn end(self, settings: &Settings) -> Result<ProfileFiles> {
        let Self {
            recorder,
            watch,
            start,
        } = self;
        set_tracking(false);
        let monitor = get_memory_monitor();
        let report = ProfileReport::new(monitor, settings, start.elapsed());
        summary::log(&report.summary);
        drop(watch);
        let timeline = monitor.timeline(TITLE);
        let path = recorder.path().to_owned();
        // Every file is attempted before the first error is returned.
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
    extension: &str,
    contents: std::result::Result<String, mem_monitor::Error>,
) -> Result<PathBuf, SessionError> {
    let path = recording.with_extension(extension);
    files::write_whole(&path, contents?.as_bytes())?;
    Ok(path)
}

/// Runs the monitor's thread at the interval of a recording. Dropping it restores the previous state.
#[derive(Debug)]
struct Watch {
    monitor: &'static MemoryMonitor,
    interval_before: Duration,
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
