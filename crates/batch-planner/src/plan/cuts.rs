//! The cheapest cuts of a sorted list of requests.

use std::collections::VecDeque;

use super::{Cost, Request};
use crate::{Error, Result};

/// The minimised value: cost, then the number of batches.
type Value = (u128, usize);

/// A candidate for the last cut. It is the best from `from_end` up to the next candidate's
/// `from_end`.
struct Candidate {
    cut: usize,
    from_end: usize,
}

/// Returns the starts of the batches of the cheapest plan, ascending.
///
/// `sorted` is sorted by ascending length. `most_rows` returns the greatest number of requests in a
/// batch whose longest request has the given length. The number is at least 1 and does not increase
/// with the length.
pub(super) fn best(
    sorted: &[Request],
    cost: Cost,
    most_rows: impl Fn(u64) -> u64,
) -> Result<Vec<usize>> {
    let Some(longest) = sorted.last() else {
        return Ok(Vec::new());
    };
    check_cost(longest.length, sorted.len(), cost)?;

    // `earliest[end]` is the first possible start of a batch that ends before `end`. It never
    // decreases.
    let earliest: Vec<usize> = std::iter::once(0)
        .chain((1..=sorted.len()).map(|end| {
            let rows = most_rows(sorted[end - 1].length);
            end.saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX))
        }))
        .collect();

    // For each cut, the best value of the requests before it and the start of the last batch before it.
    let mut values: Vec<Value> = vec![(0, 0)];
    let mut starts = vec![0];
    let mut queue: VecDeque<Candidate> = VecDeque::new();
    for end in 1..=sorted.len() {
        let value = |cut: usize, end: usize| -> Value {
            let (before, batches) = values[cut];
            let batch = cost_of_batch(cost, sorted[end - 1].length, end - cut);
            (before + batch, batches + 1)
        };
        // An earlier cut that has left the window never enters it again.
        let overtakes = |later: usize, earlier: usize, end: usize| {
            earlier < earliest[end] || value(later, end) < value(earlier, end)
        };

        // The new candidate is the cut before the last request.
        let new = end - 1;
        while queue
            .back()
            .is_some_and(|last| overtakes(new, last.cut, last.from_end.max(end)))
        {
            queue.pop_back();
        }
        let from_end = match queue.back() {
            None => end,
            Some(last) => {
                // The first end at which the new cut overtakes, or `sorted.len() + 1` if it never does.
                let (mut low, mut high) = (last.from_end.max(end), sorted.len() + 1);
                while low + 1 < high {
                    let middle = low + (high - low) / 2;
                    if overtakes(new, last.cut, middle) {
                        high = middle;
                    } else {
                        low = middle;
                    }
                }
                high
            }
        };
        if from_end <= sorted.len() {
            queue.push_back(Candidate { cut: new, from_end });
        }

        while queue.get(1).is_some_and(|next| next.from_end <= end) {
            queue.pop_front();
        }
        let cut = queue.front().expect("a candidate exists for every end").cut;
        values.push(value(cut, end));
        starts.push(cut);
    }

    let mut cuts = Vec::new();
    let mut end = sorted.len();
    while end > 0 {
        end = starts[end];
        cuts.push(end);
    }
    cuts.reverse();
    Ok(cuts)
}

/// Returns the cost of a batch. Does not overflow after [`check_cost`].
pub(super) fn cost_of_batch(cost: Cost, longest: u64, rows: usize) -> u128 {
    u128::from(longest) * (u128::from(cost.position) + rows as u128 * u128::from(cost.row))
}

/// Returns an error if a sum of batch costs may overflow `u128`.
///
/// The checked bound is the longest length times the cost of all rows in batches of one, which is
/// above any such sum. If the bound overflows, the cost of the longest batch alone is above 2^128
/// divided by the number of requests and overflows `u64`. So no representable plan is rejected.
fn check_cost(longest: u64, rows: usize, cost: Cost) -> Result<()> {
    (u128::from(cost.position) + u128::from(cost.row))
        .checked_mul(longest.into())
        .and_then(|alone| alone.checked_mul(rows as u128))
        .map(drop)
        .ok_or_else(too_costly)
}

pub(super) fn too_costly() -> Error {
    Error::overflow("the plan's cost")
}
