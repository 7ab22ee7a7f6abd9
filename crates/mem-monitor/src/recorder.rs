//! Recording events to a file.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::{Error, Event, MemoryMonitor, Subscription, monitor::Shared, process::Owner};

mod csv;
mod mprof;

use mprof::Mprof;

const NAME: &str = "mem-recorder";

/// Capacity of the event channel: a few seconds of samples at 1 ms, with room for spans. If it is full,
/// events are dropped and counted; the sampler never blocks.
const CAPACITY: usize = 4096;

/// A killed process loses at most a second; half of it leaves room for late wake-ups.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// The format of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A header and one line per sample; unknown values are empty.
    Csv,
    /// One JSON object per line for each sample, alert and span, distinguished by `kind`.
    JsonLines,
    /// The format of Python's `memory_profiler`, for `mprof plot`, `mprof peak` and `mprof list`: the
    /// resident set and at most 30 spans, 3 per name. A peak between two samples has its own line, in the
    /// middle between them.
    Mprof,
}

/// Records the events of a monitor to a file, on a dedicated thread.
///
/// The file is flushed at least once a second, so a killed process loses at most the last second. A
/// sample is taken at the start and at the end of the recording, even if the monitor is not running.
///
/// ```
/// use mem_monitor::{Format, MemoryMonitor, Recorder};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("memory.csv");
/// let monitor = MemoryMonitor::default();
/// let recorder = Recorder::create(&monitor, Format::Csv, &path)?;
/// monitor.sample();
/// recorder.finish()?;
/// assert_eq!(std::fs::read_to_string(&path)?.lines().count(), 4); // header, begin, sample, end
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    shared: Weak<Shared>,
    owner: Owner,
    /// The writing thread and the channel that stops it; `None` once it has ended.
    running: Option<(Sender<()>, JoinHandle<io::Result<u64>>)>,
}

impl Recorder {
    /// Starts a recording to a new file.
    ///
    /// # Errors
    /// [`Error::Exists`] if the file exists, [`Error::Write`] if it cannot be created,
    /// [`Error::Thread`], [`Error::Forked`] in a forked child.
    pub fn create(
        monitor: &MemoryMonitor,
        format: Format,
        path: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        monitor.shared().check_not_forked()?;
        let path = path.as_ref().to_owned();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: path.clone() },
            _ => Error::Write {
                path: path.clone(),
                source,
            },
        };
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed)?;
        let mut file = BufWriter::new(file);
        let writer = Writer::new(format);
        writer.begin(&mut file).map_err(failed)?;

        let subscription = monitor.subscribe(CAPACITY);
        let (stop, stopped) = bounded(0);
        let thread = thread::Builder::new()
            .name(NAME.to_owned())
            .spawn(move || record(&subscription, &stopped, writer, file))
            .map_err(|source| Error::Thread { name: NAME, source })?;
        monitor.sample();
        Ok(Self {
            path,
            shared: Arc::downgrade(monitor.shared()),
            owner: Owner::current(),
            running: Some((stop, thread)),
        })
    }

    /// Starts a recording in `folder` under the name that `mprof` expects,
    /// `mprofile_YYYYMMDDhhmmss.dat` in local time. If the name exists, the next second is used.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    pub fn mprof(monitor: &MemoryMonitor, folder: impl AsRef<Path>) -> Result<Self, Error> {
        let mut later = Duration::ZERO;
        loop {
            let path = folder.as_ref().join(mprof::file_name(later));
            match Self::create(monitor, Format::Mprof, path) {
                Err(Error::Exists { .. }) => later += Duration::from_secs(1),
                other => return other,
            }
        }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a last sample, writes all pending events and closes the file. Returns the number of dropped
    /// events.
    ///
    /// # Errors
    /// [`Error::Write`] with the first failed write of the recording, [`Error::Forked`] in a forked child:
    /// the parent writes the recording.
    pub fn finish(mut self) -> Result<u64, Error> {
        if !self.owner.is_current() {
            return Err(Error::Forked);
        }
        self.end().map_err(|source| Error::Write {
            path: self.path.clone(),
            source,
        })
    }

    fn end(&mut self) -> io::Result<u64> {
        let Some((stop, thread)) = self.running.take() else {
            return Ok(0);
        };
        if !self.owner.is_current() {
            // A forked child has no such thread to stop, join or detach, and a thread that does not exist may
            // hold the channel's lock.
            std::mem::forget((stop, thread));
            return Ok(0);
        }
        if let Some(shared) = self.shared.upgrade() {
            shared.sample();
        }
        // The thread has already ended if the monitor was dropped or a write failed.
        let _ = stop.send(());
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the recording thread panicked")))
    }
}

impl Drop for Recorder {
    /// Finishes the recording and ignores errors. In a forked child it does nothing.
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Writes events until the recorder or the monitor is dropped.
fn record(
    subscription: &Subscription,
    stopped: &Receiver<()>,
    mut writer: Writer,
    mut file: BufWriter<std::fs::File>,
) -> io::Result<u64> {
    let mut flush_at = Instant::now();
    loop {
        select! {
            recv(subscription.events()) -> event => match event {
                Ok(event) => writer.event(&mut file, &event)?,
                Err(_) => break,
            },
            recv(stopped) -> _ => break,
            default(flush_at.saturating_duration_since(Instant::now())) => {}
        }
        if Instant::now() >= flush_at {
            file.flush()?;
            flush_at = Instant::now() + FLUSH_INTERVAL;
        }
    }
    for event in subscription.events().try_iter() {
        writer.event(&mut file, &event)?;
    }
    file.flush()?;
    Ok(subscription.dropped())
}

/// A format with its state.
enum Writer {
    Csv,
    JsonLines,
    Mprof(Mprof),
}

impl Writer {
    fn new(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::JsonLines => Self::JsonLines,
            Format::Mprof => Self::Mprof(Mprof::default()),
        }
    }

    fn begin(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Csv => csv::begin(out),
            Self::JsonLines => Ok(()),
            Self::Mprof(_) => mprof::begin(out),
        }
    }

    fn event(&mut self, out: &mut impl Write, event: &Event) -> io::Result<()> {
        match (self, event) {
            (Self::Csv, Event::Sample(sample)) => csv::sample(out, sample),
            (Self::Csv, _) => Ok(()),
            (Self::JsonLines, event) => {
                serde_json::to_writer(&mut *out, event)?;
                out.write_all(b"\n")
            }
            (Self::Mprof(mprof), Event::Sample(sample)) => mprof.sample(out, sample),
            #[cfg(feature = "tracing")]
            (Self::Mprof(mprof), Event::Span(call)) => mprof.spans.write(out, call),
            (Self::Mprof(_), Event::Alert(_)) => Ok(()),
        }
    }
}
