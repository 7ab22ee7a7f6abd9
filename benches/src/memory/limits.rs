//! Speech under a limit: the smallest that still works, and how fast it is at several.

use super::figures::{COUNTED_PEAK, LIMIT, PEAK_RSS};
use super::{Case, Comparison, Figures, Setup, Task};
use crate::Result;

/// Limits at which speech is timed.
const LIMITS: usize = 6;

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

pub(super) fn measure(_task: &Task, _megabytes: u64) -> Result<Figures> {
    Err("pending".into())
}

pub(super) fn predict(_task: &Task) -> Result<Figures> {
    Err("pending".into())
}

pub(super) fn sweep(_task: &Task, _repeats: usize) -> Result<(Comparison, Vec<Comparison>)> {
    let _ = (
        smallest(1, 1, |_| Ok(true)),
        spaced(1, 1, LIMITS),
        FARTHEST,
        MEGABYTE,
    );
    let _ = (COUNTED_PEAK, LIMIT, PEAK_RSS, Case::Prediction, Setup::ON);
    Err("pending".into())
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
