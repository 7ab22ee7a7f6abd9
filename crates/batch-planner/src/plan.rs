mod cuts;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, MemoryBudget, Result};
use bytesize::ByteSize;

/// Something to be done in a batch with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// What the caller knows it by. Passed on, not looked at.
    pub id: u64,
    /// How many steps it takes.
    pub length: u64,
}

/// What a step of a batch costs, in any unit: nanoseconds, say.
///
/// A batch of `rows` requests runs for as many steps as its longest request has, so it costs
/// `longest x (step + rows x row)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// What a step costs whatever the batch: where weights are read from memory, the time for
    /// that.
    pub step: u64,
    /// What each row adds to a step.
    pub row: u64,
}

/// Requests that run together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The requests, the longest first.
    pub requests: Vec<Request>,
    /// The length of the longest, in steps.
    pub longest: u64,
    /// What the batch takes, with what is fixed, in bytes.
    pub bytes: u64,
    /// What it costs, in the unit of [`Cost`].
    pub cost: u64,
}

impl Batch {
    /// Steps of rows that had already ended when the longest did.
    pub fn padding_steps(&self) -> u128 {
        let idle = |request: &Request| u128::from(self.longest - request.length);
        self.requests.iter().map(idle).sum()
    }
}

/// Requests cut into batches. Displays as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The batches, that of the longest request first: if memory turns out short, it does at once.
    pub batches: Vec<Batch>,
    /// What they cost together, in the unit of [`Cost`].
    pub cost: u64,
}

/// Cuts requests of many lengths into batches that run one after the other, each within the budget,
/// at the least cost.
///
/// Of plans that cost the least it gives one with the fewest batches. The same requests in any
/// order give batches of the same lengths; requests of one length stay in the order given.
///
/// With a fitted model, a batch is never larger than was measured; batches of 1 must be.
///
/// # Method
///
/// It is enough to look at cuts of the requests sorted by length. Take any plan, its batches
/// sorted by their longest request, from the longest down, and deal the requests, also from the
/// longest down, to batches of the same sizes. The longest request of batch k is now the one after
/// as many as the batches before it hold. All requests longer than batch k's longest was before are
/// in those batches, so there are at most so many, and the new longest is no longer than the
/// old. Sizes are the same and no longest grew, so no batch costs more or takes more memory: all that
/// needs is that both grow with length, which they do.
///
/// The best cuts are then a shortest path over the cut points. Of two candidates for the last cut,
/// the later overtakes the earlier for good as lengths grow (what a batch costs fulfils the
/// quadrangle inequality), so the candidates form a queue with the points at which each becomes the
/// best (Galil and Park, "Dynamic programming with convexity, concavity and sparsity", 1992).
///
/// O(n log n) time and O(n) memory for n requests.
///
/// ```
/// use batch_planner::{Cost, MemoryBudget, MemoryModel, Request, Term, plan};
///
/// let model = MemoryModel::new().with(Term::new("cache").per_item_step(1000));
/// let budget = MemoryBudget::new(1_000_000, model);
/// let lengths = [480, 30, 500, 25, 490];
/// let requests: Vec<Request> = (0..).zip(lengths).map(|(id, length)| Request { id, length }).collect();
///
/// let plan = plan(&requests, &budget, &Cost { step: 10, row: 1 })?;
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
/// - [`Error::RequestTooLarge`] if a request does not fit alone, for the longest such request;
/// - [`Error::OutOfRange`] if a fitted model was not measured at a request's length, or not at
///   batches of 1;
/// - [`Error::Overflow`] if the plan costs, or a request alone takes, more than `u64::MAX`.
pub fn plan(requests: &[Request], budget: &MemoryBudget, cost: &Cost) -> Result<Plan> {
    let mut sorted = requests.to_vec();
    sorted.sort_by_key(|request| request.length);
    // From the longest down, so that the longest of those that do not fit is named.
    for request in sorted.iter().rev() {
        check_alone(request, budget)?;
    }

    let usable_bytes = budget.usable_bytes();
    let most_rows = |length| {
        let fits = budget.model.items_in(usable_bytes, length).unwrap_or(0);
        fits.min(budget.model.most_items())
    };
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

/// That a request fits in a batch of its own.
fn check_alone(request: &Request, budget: &MemoryBudget) -> Result<()> {
    let needed_bytes = budget.model.bytes(1, request.length)?;
    let usable_bytes = budget.usable_bytes();
    match needed_bytes.checked_sub(usable_bytes) {
        None | Some(0) => Ok(()),
        Some(shortfall_bytes) => Err(Error::RequestTooLarge {
            id: request.id,
            length: request.length,
            needed_bytes,
            usable_bytes,
            shortfall_bytes,
        }),
    }
}

/// Requests that were sorted from the shortest up, the other way; those of one length keep their
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
        let padding: u128 = self.batches.iter().map(Batch::padding_steps).sum();
        write!(
            formatter,
            "{requests} requests in {} batches, cost {}, {padding} steps of padding\n\
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
