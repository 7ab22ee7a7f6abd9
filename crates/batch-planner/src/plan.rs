mod cuts;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, MemoryBudget, Result};
use bytesize::ByteSize;

/// A request that runs in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// The caller's id. It is returned unchanged and does not affect the plan.
    pub id: u64,
    /// The length of the request, in positions.
    pub length: u64,
}

/// The cost by which a batch advances by one position, in any unit, such as nanoseconds.
///
/// A batch of `rows` requests runs until its longest request ends, so the batch costs
/// `longest x (position + rows x row)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// The cost per position that does not depend on the batch size, such as the time to read the weights
    /// from memory.
    pub position: u64,
    /// The cost that each row adds per position.
    pub row: u64,
}

/// Requests that run together as one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The requests, the longest first.
    pub requests: Vec<Request>,
    /// The length of the longest request, in positions.
    pub longest: u64,
    /// The memory of the batch including fixed memory, in bytes.
    pub bytes: u64,
    /// The cost of the batch, in the unit of [`Cost`].
    pub cost: u64,
}

impl Batch {
    /// Returns the sum of the positions for which rows are idle between their own end and that of the batch.
    pub fn padding_positions(&self) -> u128 {
        let idle = |request: &Request| u128::from(self.longest - request.length);
        self.requests.iter().map(idle).sum()
    }
}

/// Requests cut into batches. Displays as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The batches, sorted by their longest request in descending order. If memory runs short in
    /// practice, it does so early.
    pub batches: Vec<Batch>,
    /// The total cost, in the unit of [`Cost`].
    pub cost: u64,
}

/// Cuts requests of mixed lengths into batches of least total cost. The batches run one after the
/// other, each within the budget.
///
/// Among plans of equal cost, the result has the fewest batches. The batches' lengths do not depend
/// on the order of the requests; requests of equal length stay in their order.
///
/// With a fitted model, a batch is never larger than the largest measured batch. Batches of 1 must be
/// in the measured range.
///
/// # Method
///
/// Only cuts of the requests sorted by length need to be considered. Proof: take any plan and sort
/// its batches by their longest request, in descending order. Distribute the requests, also in
/// descending order, to batches of the same sizes. Let `m` be the number of requests in the batches
/// before batch k. The longest request of batch k is now the one at index `m`. All requests longer
/// than the old longest request of batch k were in the batches before it, so there are at most `m`
/// of them. The new longest request is therefore not longer than the old one. Sizes are unchanged
/// and no batch became longer. Cost and memory grow with length, so neither has increased.
///
/// The best cuts are then a shortest path over the cut points. The cost of a batch fulfils the
/// quadrangle inequality: once the later of two candidates for the last cut is better, it stays
/// better for all greater lengths. So the candidates form a queue with the points at which each
/// becomes the best (Galil and Park, "Dynamic programming with convexity, concavity and sparsity",
/// 1992).
///
/// O(n log n) time and O(n) memory for n requests.
///
/// ```
/// use batch_planner::{Cost, MemoryBudget, MemoryModel, Request, Term, plan};
///
/// let model = MemoryModel::new().with(Term::new("cache").per_item_position(1000));
/// let budget = MemoryBudget::new(1_000_000, model);
/// let lengths = [480, 30, 500, 25, 490];
/// let requests: Vec<Request> = (0..).zip(lengths).map(|(id, length)| Request { id, length }).collect();
///
/// let plan = plan(&requests, &budget, &Cost { position: 10, row: 1 })?;
/// let batches: Vec<Vec<u64>> = plan
///     .batches
///     .iter()
///     .map(|batch| batch.requests.iter().map(|request| request.length).collect())
///     .collect();
/// assert_eq!(batches, [vec![500, 490], vec![480], vec![30, 25]]);
/// # Ok::<(), batch_planner::Error>(())
/// ```
///
/// # Errors
///
/// - [`Error::RequestTooLarge`] if a request does not fit in a batch of its own, for the longest such request;
/// - [`Error::OutOfRange`] if the length of a request or a batch size of 1 is outside the measured range
///   of a fitted model;
/// - [`Error::Overflow`] if the cost of the plan or the memory of a request is above `u64::MAX`.
pub fn plan(requests: &[Request], budget: &MemoryBudget, cost: &Cost) -> Result<Plan> {
    let mut sorted = requests.to_vec();
    sorted.sort_by_key(|request| request.length);
    // Descending, so that the error names the longest request that does not fit.
    for request in sorted.iter().rev() {
        check_alone(request, budget)?;
    }

    let most_rows = |length| budget.items(length).min(budget.model.most_items());
    let cuts = cuts::best(&sorted, *cost, most_rows)?;

    let mut batches = Vec::with_capacity(cuts.len());
    let mut end = sorted.len();
    for start in cuts.into_iter().rev() {
        let requests = longest_first(&sorted[start..end]);
        let longest = requests[0].length;
        batches.push(Batch {
            longest,
            bytes: budget.model.bytes(requests.len() as u64, longest)?,
            cost: u64::try_from(cuts::cost_of_batch(*cost, longest, requests.len()))
                .map_err(|_| cuts::too_costly())?,
            requests,
        });
        end = start;
    }
    let total: u128 = batches.iter().map(|batch| u128::from(batch.cost)).sum();
    let cost = u64::try_from(total).map_err(|_| cuts::too_costly())?;
    Ok(Plan { batches, cost })
}

/// Returns an error if a request does not fit in a batch of its own.
fn check_alone(request: &Request, budget: &MemoryBudget) -> Result<()> {
    let needed_bytes = budget.model.bytes(1, request.length)?;
    match budget.shortfall_bytes(needed_bytes) {
        0 => Ok(()),
        shortfall_bytes => Err(Error::RequestTooLarge {
            id: request.id,
            length: request.length,
            needed_bytes,
            usable_bytes: budget.usable_bytes(),
            shortfall_bytes,
        }),
    }
}

/// Reverses requests that are sorted by ascending length. Requests of equal length stay in their
/// order.
fn longest_first(requests: &[Request]) -> Vec<Request> {
    requests
        .chunk_by(|a, b| a.length == b.length)
        .rev()
        .flatten()
        .copied()
        .collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests: usize = self.batches.iter().map(|batch| batch.requests.len()).sum();
        let padding: u128 = self.batches.iter().map(Batch::padding_positions).sum();
        write!(
            formatter,
            "{requests} requests in {} batches, cost {}, {padding} positions of padding\n\
             {:>7} {:>8} {:>8} {:>8} {:>10} {:>12}",
            self.batches.len(),
            self.cost,
            "batch",
            "rows",
            "longest",
            "shortest",
            "memory",
            "cost"
        )?;
        for (number, batch) in (1..).zip(&self.batches) {
            let shortest = batch.requests.last().map_or(0, |request| request.length);
            write!(
                formatter,
                "\n{number:>7} {:>8} {:>8} {shortest:>8} {:>10} {:>12}",
                batch.requests.len(),
                batch.longest,
                ByteSize::b(batch.bytes),
                batch.cost
            )?;
        }
        Ok(())
    }
}
