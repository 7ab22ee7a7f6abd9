use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::BatchSizeOptimizer;
use crate::length::greatest;
use crate::{Error, Estimate, Result};
use bytesize::ByteSize;

/// Describes why the smallest accepted batch does not fit, and which changes would help. Displays
/// as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Infeasible {
    /// The memory of the floor at this length, term by term.
    pub estimate: Estimate,
    /// The limit minus the margin, in bytes.
    pub usable_bytes: u64,
    /// The bytes that the floor needs above the usable bytes.
    pub shortfall_bytes: u64,
    /// The change of limit, length or floor that is smallest relative to the current value. Ties
    /// prefer lowering the floor, then shortening the length, then raising the limit, which may need
    /// hardware.
    pub cheapest_way_out: WayOut,
    /// The other changes that would help, the smallest first.
    pub other_ways_out: Vec<WayOut>,
}

/// A single change that makes the batch fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayOut {
    /// Accept a smaller batch.
    LowerFloor {
        /// The largest floor that fits, which is also the resulting batch size.
        to: u64,
    },
    /// Make the items shorter.
    ShortenTo {
        /// The greatest length at which the floor fits; at least 1.
        sequence_length: u64,
    },
    /// Raise the memory limit.
    RaiseLimit {
        /// The lowest limit, before the margin, at which the floor fits.
        to_bytes: u64,
    },
}

impl BatchSizeOptimizer {
    /// Returns the error for a floor that does not fit at this length.
    pub(crate) fn infeasible(&self, sequence_length: u64) -> Result<Error> {
        let model = &self.budget.model;
        let estimate = model.itemise(self.floor, sequence_length)?;
        let fits = |length| self.budget.items(length);
        let range = model.range();

        let smallest_batch = range.map_or(1, |range| range.min_batch_size.max(1));
        let floor = Some(fits(sequence_length)).filter(|batch_size| *batch_size >= smallest_batch);
        let shortest = range.map_or(1, |range| range.min_sequence_length.max(1));
        let length = greatest(shortest..=sequence_length, |length| {
            fits(length) >= self.floor
        });
        let needed = estimate.total_bytes.checked_add(self.budget.used_bytes);
        let limit = needed.and_then(|bytes| self.budget.margin.whole_leaving(bytes));

        let mut ways: Vec<(Change, WayOut)> = [
            floor.map(|to| (Change::of(self.floor, to), WayOut::LowerFloor { to })),
            length.map(|to| {
                let way = WayOut::ShortenTo {
                    sequence_length: to,
                };
                (Change::of(sequence_length, to), way)
            }),
            limit.map(|to_bytes| {
                let change = Change::of(self.budget.limit_bytes, to_bytes);
                (change, WayOut::RaiseLimit { to_bytes })
            }),
        ]
        .into_iter()
        .flatten()
        .collect();
        // The sort is stable, so ties stay in this order.
        ways.sort_by(|(a, _), (b, _)| a.compare(*b));
        let mut ways = ways.into_iter().map(|(_, way)| way);
        let cheapest_way_out = ways
            .next()
            .ok_or_else(|| Error::overflow("the required limit in bytes"))?;
        Ok(Error::Infeasible(Box::new(Infeasible {
            shortfall_bytes: self.budget.shortfall_bytes(estimate.total_bytes),
            usable_bytes: self.budget.usable_bytes(),
            estimate,
            cheapest_way_out,
            other_ways_out: ways.collect(),
        })))
    }
}

/// The relative change of a value, as a fraction.
#[derive(Clone, Copy)]
struct Change {
    difference: u64,
    whole: u64,
}

impl Change {
    fn of(from: u64, to: u64) -> Self {
        Self {
            difference: from.abs_diff(to),
            whole: from,
        }
    }

    /// Compares exactly. A change from 0 is greater than any other change.
    fn compare(self, other: Self) -> Ordering {
        let cross = |a: Self, b: Self| u128::from(a.difference) * u128::from(b.whole);
        cross(self, other).cmp(&cross(other, self))
    }
}

impl fmt::Display for Infeasible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "does not fit: ")?;
        let rows = [
            ("usable", self.usable_bytes),
            ("shortfall", self.shortfall_bytes),
        ];
        self.estimate.write_table(formatter, &rows)?;
        write!(formatter, "\n{}", self.cheapest_way_out)?;
        for way in &self.other_ways_out {
            write!(formatter, ", or {way}")?;
        }
        Ok(())
    }
}

impl fmt::Display for WayOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LowerFloor { to } => write!(formatter, "lower the floor to {to}"),
            Self::ShortenTo { sequence_length } => {
                write!(formatter, "shorten the length to {sequence_length}")
            }
            Self::RaiseLimit { to_bytes } => write!(
                formatter,
                "raise the limit to {} ({to_bytes} bytes)",
                ByteSize::b(to_bytes)
            ),
        }
    }
}
