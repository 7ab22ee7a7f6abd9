//! Speech under a limit: the smallest that still works, and how fast it is at several.

use bench_report::memory::{Comparison, LIMIT, PEAK_RSS};
use pocket_tts::memory::memory_efficient_context;
use pocket_tts::{Error, ErrorKind, GenerateOptions};

use super::comparison::{self, Way, of_setups};
use super::long_text::options;
use super::setup::Loaded;
use super::watch::{Spoken, Watch};
use super::{Case, Figures, Setup, Task};
use crate::{Result, peak_rss_bytes};

/// What speaking the parts one after the other is predicted to take.
const LEAST_PREDICTED: &str = "predicted peak, one at once";

/// What speaking as many at once as are asked for is predicted to take.
const MOST_PREDICTED: &str = "predicted peak, 8 at once";

/// Parts that are asked for at once; a limit makes them fewer.
const AT_ONCE: usize = 8;

/// The smallest limit with which all of it is spoken.
const SMALLEST: &str = "smallest limit";

/// Limits at which speech is timed.
const LIMITS: usize = 5;

/// Limits are looked for up to this many times the prediction.
const FARTHEST: u64 = 16;

const MEGABYTE: u64 = 1 << 20;

/// The smallest limit that works, if one up to `most` does: `guess` is where the search begins, and all
/// above one that works is taken to work.
fn smallest(
    guess: u64,
    most: u64,
    mut works: impl FnMut(u64) -> Result<bool>,
) -> Result<Option<u64>> {
    let (mut refused, mut working) = (0, guess.clamp(1, most));
    while !works(working)? {
        if working == most {
            return Ok(None);
        }
        refused = working;
        working = (2 * working).min(most);
    }
    while working - refused > 1 {
        let middle = refused + (working - refused) / 2;
        match works(middle)? {
            true => working = middle,
            false => refused = middle,
        }
    }
    Ok(Some(working))
}

/// So many limits from the least to the most, equally far apart but for rounding; fewer where there are
/// no more.
fn spaced(least: u64, most: u64, count: usize) -> Vec<u64> {
    let steps = count.max(2) as u64 - 1;
    let mut limits: Vec<u64> = (0..=steps)
        .map(|step| least + (most.max(least) - least) * step / steps)
        .collect();
    limits.dedup();
    limits
}

/// Speaks under a limit; nothing is measured where that is refused.
pub(super) fn measure(task: &Task, megabytes: u64) -> Result<Figures> {
    let Loaded {
        model,
        voice,
        session: _session,
    } = task.load()?;
    let options = options(task).with_batch_size(AT_ONCE);
    let mut figures = Figures::default();
    let _context = memory_efficient_context(megabytes);
    let at_once = model.plan_memory(&voice, &task.text, &options)?.batch_size;
    let watch = Watch::start();
    let audio = match model.generate(&voice, &task.text, &options) {
        Err(end) if matches!(&end.error, Error::Core(error) if error.kind() == ErrorKind::OutOfMemory) =>
        {
            return Ok(figures);
        }
        audio => audio?,
    };
    let spoken = Spoken::new(&model, audio.samples().len());
    figures.bytes(LIMIT, megabytes * MEGABYTE);
    watch.stop().speech(&mut figures, "", spoken);
    figures.bytes(PEAK_RSS, peak_rss_bytes());
    figures.count("parts at once", at_once);
    Ok(figures)
}

/// Plans the same without a limit, one part at a time and all at once.
pub(super) fn predict(task: &Task) -> Result<Figures> {
    let Loaded {
        model,
        voice,
        session: _session,
    } = task.load()?;
    let plan = |batch_size| {
        let options = options(task).with_batch_size(batch_size);
        model.plan_memory(&voice, &task.text, &options)
    };
    let mut figures = Figures::default();
    figures.bytes(LEAST_PREDICTED, plan(1)?.peak_bytes);
    figures.bytes(MOST_PREDICTED, plan(AT_ONCE)?.peak_bytes);
    Ok(figures)
}

/// Looks for the smallest limit that works, on and off.
pub(super) fn find(task: &Task) -> Result<Comparison> {
    let search = |name: &str, setup: Setup| -> Way<'_> {
        let task = task.with(Case::Prediction, setup);
        (name.to_owned(), Box::new(move || find_smallest(&task)))
    };
    let ways = Setup::ON_AND_OFF.map(|(name, setup)| search(name, setup));
    comparison::measure("smallest limit", task.model.name(), &ways, 1)
}

/// Times speech at limits from the smallest to what all parts at once take.
pub(super) fn sweep(task: &Task, found: &Comparison, repeats: usize) -> Result<Vec<Comparison>> {
    let megabytes = |figure: &str| {
        let values = found.row(figure).map_or(&[][..], |row| &row.values);
        let values = values.iter().flatten();
        values.map(|value| (value.median as u64).div_ceil(MEGABYTE))
    };
    let least = megabytes(SMALLEST).min().ok_or("no limit works")?;
    let most = megabytes(MOST_PREDICTED).max().unwrap_or(least);
    let limits = spaced(least, most, LIMITS).into_iter().map(|megabytes| {
        let task = task.with(Case::Limit { megabytes }, Setup::ON);
        of_setups(&task, &Setup::ON_AND_OFF, repeats)
    });
    limits.collect()
}

/// What is predicted, and the smallest limit that works.
fn find_smallest(task: &Task) -> Result<Figures> {
    let mut figures = task.run()?;
    let predicted = figures.get(LEAST_PREDICTED).ok_or("nothing is predicted")? as u64;
    let guess = predicted.div_ceil(MEGABYTE);
    let found = smallest(guess, FARTHEST * guess, |megabytes| {
        let limited = task.with(Case::Limit { megabytes }, task.setup);
        Ok(!limited.run()?.is_empty())
    })?;
    figures.bytes(SMALLEST, found.map(|megabytes| megabytes * MEGABYTE));
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_is_found_from_either_side() {
        for guess in [1, 20, 36, 37, 38, 500] {
            let mut tried = Vec::new();
            let found = smallest(guess, 500, |limit| {
                tried.push(limit);
                Ok(limit >= 37)
            });
            assert_eq!(found.unwrap(), Some(37), "{guess}");
            assert!(tried.len() < 16, "{tried:?}");
        }
        assert_eq!(smallest(0, 500, |_| Ok(true)).unwrap(), Some(1));
        assert_eq!(smallest(7, 500, |_| Ok(false)).unwrap(), None);
        assert!(smallest(7, 500, |_| Err("broken".into())).is_err());
    }

    #[test]
    fn limits_lie_between_the_least_and_the_most() {
        assert_eq!(spaced(20, 70, 6), [20, 30, 40, 50, 60, 70]);
        assert_eq!(spaced(20, 22, 6), [20, 21, 22]);
        assert_eq!(spaced(20, 10, 6), [20]);
    }
}
