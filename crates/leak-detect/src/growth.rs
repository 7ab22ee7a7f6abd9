//! Growth of byte counters over repeated work.

mod attempts;
mod series;
mod theil_sen;

use std::fmt;

pub(crate) use attempts::growth_in_every_attempt;
use series::Series;

/// Default bytes per iteration that a clean verdict rules out: somewhat more than one small leaked
/// allocation; 1 GiB after a million iterations.
const DEFAULT_SMALLEST_LEAK: f64 = 1024.0;

/// Reads byte counters over repeated work and determines for each whether it grows.
///
/// A source is a closure that returns bytes: the live heap, a pool's idle bytes, the resident set.
/// Only differences between readings are used, so a counter may wrap around.
///
/// The growth per iteration is a Theil–Sen slope, which is robust against jumps and outliers. Its 99 %
/// confidence interval accounts for autocorrelated readings, such as those of a buffer that fills and
/// empties. Half the width of the interval is the smallest leak that the readings can show.
///
/// The probe uses constant memory, allocated before the first reading: after 256 readings, neighbours
/// are averaged.
///
/// # Parallel tests
///
/// `cargo test` runs tests as threads of one process. A source of the whole process (its resident set,
/// [`heap_source`](crate::heap_source)) then includes allocations of other tests, which can look like
/// growth. Run the test in its own process: alone in a file under `tests/`, or in a child process. Or keep
/// the work on one thread and read [`thread_heap_source`](crate::thread_heap_source).
/// [`assert_no_growth!`](crate::assert_no_growth) repeats its measurement instead.
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
/// assert_eq!(verdicts[0].slope.unwrap().bytes_per_iteration, 48.0);
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

/// The result for one source.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Growth {
    /// The source's name.
    pub source: String,
    /// The verdict.
    pub verdict: Verdict,
    /// `None` for fewer than ten readings.
    pub slope: Option<Slope>,
    /// Number of readings.
    pub readings: u64,
    /// Bytes per iteration that a clean verdict rules out.
    pub smallest_leak: f64,
}

/// Whether a source grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It grows by less than the smallest leak: the interval is below it and includes zero or less.
    Clean,
    /// It grows: the whole interval is above zero.
    Growing,
    /// The readings vary too much or are too few for a verdict.
    Inconclusive,
}

/// A slope in bytes per iteration with its 99 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Slope {
    /// The estimated slope.
    pub bytes_per_iteration: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Slope {
    /// Returns half the width of the interval: the smallest leak, in bytes per iteration, that the
    /// readings can show.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

impl<'a> GrowthProbe<'a> {
    /// Creates a probe without sources.
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
            series: Series::means(),
        });
        self
    }

    /// Sets the bytes per iteration that a clean verdict must rule out (1024 by default). Smaller leaks
    /// are still reported as growing if the readings show them.
    pub fn smallest_leak(mut self, bytes_per_iteration: f64) -> Self {
        self.smallest_leak = bytes_per_iteration;
        self
    }

    /// Takes a reading of each source without allocating.
    pub fn sample(&mut self) {
        for source in &mut self.sources {
            source.series.push((source.read)());
        }
    }

    /// Runs `work` `warmup` times without readings and `iterations` times with a reading after each;
    /// returns the verdicts. The argument of `work` counts from 0 across both.
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

    /// Returns the verdict for each source. Allocates; takes at most a millisecond per source.
    pub fn verdicts(&self) -> Vec<Growth> {
        self.sources
            .iter()
            .map(|source| judge(&source.name, &source.series, self.smallest_leak))
            .collect()
    }
}

/// Returns the growth of a series.
fn judge(source: &str, series: &Series, smallest_leak: f64) -> Growth {
    let slope = series.trend().map(|trend| Slope {
        bytes_per_iteration: trend.slope,
        low: trend.low,
        high: trend.high,
    });
    let verdict = match slope {
        Some(slope) if slope.low > 0.0 => Verdict::Growing,
        Some(slope) if slope.high < smallest_leak => Verdict::Clean,
        _ => Verdict::Inconclusive,
    };
    Growth {
        source: source.to_owned(),
        verdict,
        slope,
        readings: series.readings(),
        smallest_leak,
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
                "inconclusive: {} readings, at least {} are required",
                self.readings,
                theil_sen::MIN_POINTS
            );
        };
        match self.verdict {
            Verdict::Clean => write!(f, "clean")?,
            Verdict::Growing => write!(f, "growing")?,
            Verdict::Inconclusive => write!(f, "inconclusive")?,
        }
        write!(
            f,
            ": {:.1} bytes per iteration, 99 % interval {:.1} to {:.1} from {} readings, \
             smallest detectable leak {:.1}",
            slope.bytes_per_iteration,
            slope.low,
            slope.high,
            self.readings,
            slope.half_width(),
        )?;
        if self.verdict == Verdict::Inconclusive {
            write!(
                f,
                "; a leak of {:.1} is not ruled out: use more iterations or a longer warm-up, \
                 or raise `smallest_leak`",
                self.smallest_leak
            )?;
        }
        Ok(())
    }
}
