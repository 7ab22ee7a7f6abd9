//! Does memory grow with every repetition of some work?

mod series;
mod theil_sen;

use std::fmt;

use series::Series;

/// Bytes per step that a clean verdict rules out unless asked for another: one small allocation
/// that is forgotten each time and then some; 1 GiB after a million repetitions.
const DEFAULT_SMALLEST_LEAK: f64 = 1024.0;

/// Watches any number of byte counters over repeated work and says of each whether it grows.
///
/// A source is a closure that returns bytes: the live heap, a pool's idle bytes, the resident set.
/// Only differences between its readings count, so a counter may also wrap around.
///
/// The slope per step is Theil and Sen's, which jumps and outliers hardly move; its interval (99 %)
/// allows for readings that resemble their neighbours, as those of a buffer that fills and empties
/// do. Half the interval's width is the smallest leak that these readings could show.
///
/// The probe takes constant memory, all of it before the first reading: after 256 readings
/// neighbours are averaged.
///
/// # Parallel tests
///
/// `cargo test` runs tests as threads of one process. A source that counts the whole process (its
/// resident set, a global allocator's total) then sees what the other tests allocate. Use a source
/// that counts its own thread, as [`CountingAllocator`](crate::CountingAllocator) does, with all
/// the work on that thread; or give the test a process of its own: alone in a file under `tests/`,
/// or in a child process.
///
/// ```
/// use leak_detect::{GrowthProbe, Verdict};
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// static CACHED: AtomicU64 = AtomicU64::new(0);
///
/// let verdicts = GrowthProbe::new()
///     .source("cache", || CACHED.load(Relaxed))
///     .run(5, 100, |_| {
///         CACHED.fetch_add(48, Relaxed);
///     });
/// assert_eq!(verdicts[0].verdict, Verdict::Growing);
/// assert_eq!(verdicts[0].slope.unwrap().bytes_per_step, 48.0);
/// ```
pub struct GrowthProbe<'a> {
    sources: Vec<Source<'a>>,
    smallest_leak: f64,
}

struct Source<'a> {
    name: String,
    read: Box<dyn Fn() -> u64 + 'a>,
    series: Series,
}

/// What was seen of one source.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Growth {
    /// The source's name.
    pub source: String,
    /// The verdict.
    pub verdict: Verdict,
    /// `None` for fewer than ten readings.
    pub slope: Option<Slope>,
    /// Readings taken.
    pub steps: u64,
    /// Bytes per step that a clean verdict rules out.
    pub smallest_leak: f64,
}

/// Whether a source grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It does not grow by as much as the smallest leak that matters: the whole interval lies below
    /// it, and includes zero or less.
    Clean,
    /// It grows, by however little: the whole interval lies above zero.
    Growing,
    /// The readings scatter too much, or are too few, to say. Not a pass.
    Inconclusive,
}

/// A slope in bytes per step, with the interval in which it lies with a confidence of 99 %.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Slope {
    /// The most likely slope.
    pub bytes_per_step: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

impl Slope {
    /// Half the interval's width: the smallest leak, in bytes per step, that the readings could
    /// show.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

impl<'a> GrowthProbe<'a> {
    /// A probe without sources.
    pub fn new() -> Self {
        GrowthProbe {
            sources: Vec::new(),
            smallest_leak: DEFAULT_SMALLEST_LEAK,
        }
    }

    /// Adds a source.
    pub fn source(mut self, name: impl Into<String>, bytes: impl Fn() -> u64 + 'a) -> Self {
        self.sources.push(Source {
            name: name.into(),
            read: Box::new(bytes),
            series: Series::new(),
        });
        self
    }

    /// Sets how many bytes per step a clean verdict must rule out (1024 unless set). Smaller leaks
    /// still make a source growing if the readings show them.
    pub fn smallest_leak(mut self, bytes_per_step: f64) -> Self {
        self.smallest_leak = bytes_per_step;
        self
    }

    /// Takes a reading of each source. Allocates nothing.
    pub fn sample(&mut self) {
        for source in &mut self.sources {
            source.series.push((source.read)());
        }
    }

    /// Does `work` `warmup` times without and `iterations` times with a reading after each, and
    /// judges. The argument of `work` counts from 0 through both.
    pub fn run(mut self, warmup: u32, iterations: u32, mut work: impl FnMut(u32)) -> Vec<Growth> {
        for i in 0..warmup {
            work(i);
        }
        for i in 0..iterations {
            work(warmup.saturating_add(i));
            self.sample();
        }
        self.verdicts()
    }

    /// The verdict on each source's readings so far. Allocates; takes a millisecond per source at
    /// most.
    pub fn verdicts(&self) -> Vec<Growth> {
        self.sources
            .iter()
            .map(|source| self.judge(source))
            .collect()
    }

    fn judge(&self, source: &Source<'a>) -> Growth {
        let slope = source.series.trend().map(|trend| Slope {
            bytes_per_step: trend.slope,
            low: trend.low,
            high: trend.high,
        });
        let verdict = match slope {
            Some(slope) if slope.low > 0.0 => Verdict::Growing,
            Some(slope) if slope.high < self.smallest_leak => Verdict::Clean,
            _ => Verdict::Inconclusive,
        };
        Growth {
            source: source.name.clone(),
            verdict,
            slope,
            steps: source.series.steps(),
            smallest_leak: self.smallest_leak,
        }
    }
}

impl Default for GrowthProbe<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for GrowthProbe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrowthProbe")
            .field(
                "sources",
                &self
                    .sources
                    .iter()
                    .map(|source| &source.name)
                    .collect::<Vec<_>>(),
            )
            .field("smallest_leak", &self.smallest_leak)
            .finish()
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        let Some(slope) = self.slope else {
            return write!(
                f,
                "inconclusive: {} readings, at least {} are needed",
                self.steps,
                theil_sen::FEWEST_POINTS
            );
        };
        match self.verdict {
            Verdict::Clean => write!(f, "clean")?,
            Verdict::Growing => write!(f, "growing")?,
            Verdict::Inconclusive => write!(f, "inconclusive")?,
        }
        write!(
            f,
            ": {:.1} bytes per step, between {:.1} and {:.1} (99 %) from {} readings, \
             which could show a leak of {:.1}",
            slope.bytes_per_step,
            slope.low,
            slope.high,
            self.steps,
            slope.half_width(),
        )?;
        if self.verdict == Verdict::Inconclusive {
            write!(
                f,
                "; a leak of {:.1} is not ruled out: take more steps, warm up longer \
                 or accept a larger smallest leak",
                self.smallest_leak
            )?;
        }
        Ok(())
    }
}
