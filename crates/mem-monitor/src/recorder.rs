//! Writing down what a monitor sees while it sees it.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::{Error, Event, MemoryMonitor, Subscription, monitor::Shared};

mod csv;
mod mprof;

use mprof::Mprof;

const NAME: &str = "mem-recorder";

/// Events that may wait for the disk: a second of samples at 1 ms with room for spans. What comes
/// while more are waiting is dropped and counted, the sampler never waits.
const CAPACITY: usize = 4096;

/// Half of the second that a killed process may lose, so that a late wake-up is within it too.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// How a [`Recorder`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A header and a line for each sample; what is unknown is empty.
    Csv,
    /// A JSON object a line for each sample, alert and span, told apart by `kind`.
    JsonLines,
    /// The file of Python's `memory_profiler`, which `mprof plot`, `mprof peak` and `mprof list`
    /// read: the resident set and at most 30 spans, 3 of a name. A peak between two samples has a
    /// line of its own, which at short intervals is up to half a second late.
    Mprof,
}

/// Writes a file of what a monitor sees, in a thread of its own.
///
/// The file is flushed at least once a second, so that a process which is killed leaves all but
/// the last second of it. A sample is taken when the recording begins and when it ends, so it is never
/// empty, whether the monitor was started or not.
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
    stop: Sender<()>,
    thread: Option<JoinHandle<io::Result<u64>>>,
}

impl Recorder {
    /// Begins to record to a file that must not exist yet.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Write`] where the file cannot be made, [`Error::Thread`].
    pub fn create(
        monitor: &MemoryMonitor,
        format: Format,
        path: impl Into<PathBuf>,
    ) -> Result<Self, Error> {
        let path = path.into();
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
            stop,
            thread: Some(thread),
        })
    }

    /// Begins to record in `folder` under the name that `mprof` looks for,
    /// `mprofile_YYYYMMDDhhmmss.dat` with the local time; of recordings begun in the same second, the
    /// later one gets the next second's name.
    ///
    /// # Errors
    /// As [`create`](Self::create).
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

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a last sample, writes what is waiting and closes the file; gives the number of events
    /// that found no room and are missing in it.
    ///
    /// # Errors
    /// [`Error::Write`] with the first failure, also of an earlier write.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.end().map_err(|source| Error::Write {
            path: self.path.clone(),
            source,
        })
    }

    fn end(&mut self) -> io::Result<u64> {
        let Some(thread) = self.thread.take() else {
            return Ok(0);
        };
        if let Some(shared) = self.shared.upgrade() {
            shared.sample();
        }
        // The thread has ended already if the monitor is gone or the disk is full.
        let _ = self.stop.send(());
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the recording thread panicked")))
    }
}

impl Drop for Recorder {
    /// As [`finish`](Self::finish), without a word on failures.
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Writes events until the recorder or the monitor ends.
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

/// A format with what it must remember.
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
            (Self::Mprof(mprof), Event::Span(call)) => mprof.span(out, call),
            (Self::Mprof(_), Event::Alert(_)) => Ok(()),
        }
    }
}
