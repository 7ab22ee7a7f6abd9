//! Speech under a limit: the lowest sufficient limit, and the speed at several limits.

use bench_report::memory::{Comparison, LIMIT, PEAK_RSS};
use pocket_tts::memory::memory_efficient_context;
use pocket_tts::{Error, ErrorKind};

use super::comparison::{self, Way, of_setups};
use super::long_text::options;
use super::setup::Loaded;
use super::watch::{Spoken, Watch};
use super::{Case, Figures, Setup, Task};
use crate::{Result, peak_rss_bytes};

/// Figure: predicted peak of generating one segment at a time.
const PREDICTED_MIN: &str = "predicted peak, batch size 1";

/// Figure: predicted peak of the largest batch.
const PREDICTED_MAX: &str = "predicted peak, batch size 8";

/// The requested batch size; a limit can lower it.
const BATCH_SIZE: usize = 8;

/// Figure: the lowest limit with which the whole text is generated.
const LOWEST: &str = "lowest limit";

/// The number of measured limits.
const LIMITS: usize = 5;

/// The search ends at this multiple of the prediction.
const MAX_FACTOR: u64 = 16;

const MEGABYTE: u64 = 1 << 20;

/// Returns the lowest limit that works, if any limit up to `max` does. The search starts at `guess`, and
/// assumes that all limits above a working one work.
fn lowest(guess: u64, max: u64, mut works: impl FnMut(u64) -> Result<bool>) -> Result<Option<u64>> {
    let (mut refused, mut working) = (0, guess.clamp(1, max));
    while !works(working)? {
        if working == max {
            return Ok(None);
        }
        refused = working;
        working = (2 * working).min(max);
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

/// Returns `count` limits from `min` to `max` at equal distances, except for rounding; fewer if the range
/// is too small.
fn spaced(min: u64, max: u64, count: usize) -> Vec<u64> {
    let intervals = count.max(2) as u64 - 1;
    let mut limits: Vec<u64> = (0..=intervals)
        .map(|index| min + (max.max(min) - min) * index / intervals)
        .collect();
    limits.dedup();
    limits
}

/// Generates the text under a limit. There are no figures if the limit is too low.
pub(super) fn measure(task: &Task, megabytes: u64) -> Result<Figures> {
    let Loaded {
        model,
        voice,
        session: _session,
    } = task.load()?;
    let options = options(task).with_batch_size(BATCH_SIZE);
    let mut figures = Figures::default();
    let _context = memory_efficient_context(megabytes);
    let batch_size = model.plan_memory(&voice, &task.text, &options)?.batch_size;
    let watch = Watch::start();
    let audio = match model.generate(&voice, &task.text, &options) {
        Err(end) if matches!(&*end.error, Error::Core(error) if error.kind() == ErrorKind::OutOfMemory) =>
        {
            return Ok(figures);
        }
        audio => audio?,
    };
    let spoken = Spoken::new(&model, audio.samples().len());
    figures.bytes(LIMIT, megabytes * MEGABYTE);
    watch.stop().speech(&mut figures, "", spoken);
    figures.bytes(PEAK_RSS, peak_rss_bytes());
    figures.count("batch size", batch_size);
    Ok(figures)
}

/// Predicts the peak without a limit, for batch size 1 and for the largest batch.
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
    figures.bytes(PREDICTED_MIN, plan(1)?.peak_bytes);
    figures.bytes(PREDICTED_MAX, plan(BATCH_SIZE)?.peak_bytes);
    Ok(figures)
}

/// Searches for the lowest sufficient limit, with all optimisations and without any.
pub(super) fn find(task: &Task) -> Result<Comparison> {
    let search = |name: &str, setup: Setup| -> Way<'_> {
        let task = task.with(Case::Prediction, setup);
        (name.to_owned(), Box::new(move || find_lowest(&task)))
    };
    let ways = Setup::ON_AND_OFF.map(|(name, setup)| search(name, setup));
    comparison::measure("lowest limit", task.model.name(), &ways, 1)
}

/// Measures speech at limits from the lowest sufficient one to the prediction for the largest batch.
pub(super) fn sweep(task: &Task, found: &Comparison, repeats: usize) -> Result<Vec<Comparison>> {
    let megabytes = |figure: &str| {
        let values = found.row(figure).map_or(&[][..], |row| &row.values);
        let values = values.iter().flatten();
        values.map(|value| (value.median as u64).div_ceil(MEGABYTE))
    };
    let least = megabytes(LOWEST).min().ok_or("no limit is sufficient")?;
    let most = megabytes(PREDICTED_MAX).max().unwrap_or(least);
    let limits = spaced(least, most, LIMITS).into_iter().map(|megabytes| {
        let task = task.with(Case::Limit { megabytes }, Setup::ON);
        of_setups(&task, &Setup::ON_AND_OFF, repeats)
    });
    limits.collect()
}

/// Returns the predictions and the lowest sufficient limit.
fn find_lowest(task: &Task) -> Result<Figures> {
    let mut figures = task.run()?;
    let predicted = figures
        .get(PREDICTED_MIN)
        .ok_or("the process made no prediction")? as u64;
    let guess = predicted.div_ceil(MEGABYTE);
    let found = lowest(guess, MAX_FACTOR * guess, |megabytes| {
        let limited = task.with(Case::Limit { megabytes }, task.setup);
        Ok(!limited.run()?.is_empty())
    })?;
    figures.bytes(LOWEST, found.map(|megabytes| megabytes * MEGABYTE));
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_lowest_limit_from_either_side() {
        for guess in [1, 20, 36, 37, 38, 500] {
            let mut tried = Vec::new();
            let found = lowest(guess, 500, |limit| {
                tried.push(limit);
                Ok(limit >= 37)
            });
            assert_eq!(found.unwrap(), Some(37), "{guess}");
            assert!(tried.len() < 16, "{tried:?}");
        }
        assert_eq!(lowest(0, 500, |_| Ok(true)).unwrap(), Some(1));
        assert_eq!(lowest(7, 500, |_| Ok(false)).unwrap(), None);
        assert!(lowest(7, 500, |_| Err("broken".into())).is_err());
    }

    #[test]
    fn limits_are_between_minimum_and_maximum() {
        assert_eq!(spaced(20, 70, 6), [20, 30, 40, 50, 60, 70]);
        assert_eq!(spaced(20, 22, 6), [20, 21, 22]);
        assert_eq!(spaced(20, 10, 6), [20]);
    }
}
