use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::BatchSizeOptimizer;
use crate::search::greatest;
use crate::{Error, Estimate, Result};
use bytesize::ByteSize;

/// Why not even the smallest batch wanted fits, and what would help. Displays as a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Infeasible {
    /// What the floor takes at this length, term by term.
    pub estimate: Estimate,
    /// What may be taken: the limit less the margin, in bytes.
    pub usable_bytes: u64,
    /// How many bytes more the floor needs.
    pub shortfall_bytes: u64,
    /// The way out that changes its number least: of the limit, the length and the floor, the one
    /// that has to change by the smallest share of what it is now. Of equals, lowering the floor
    /// comes before shortening, and that before raising the limit, which may need hardware.
    pub cheapest_way_out: WayOut,
    /// The others there are, the cheapest first.
    pub other_ways_out: Vec<WayOut>,
}

/// A change that makes the question have an answer, all else unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayOut {
    /// Accept a smaller batch.
    LowerFloor {
        /// The largest floor that fits: what would be the answer.
        to: u64,
    },
    /// Make the items shorter.
    ShortenTo {
        /// The greatest length at which the floor fits; at least 1.
        sequence_length: u64,
    },
    /// Give more memory.
    RaiseLimit {
        /// The lowest limit, before the margin, at which the floor fits.
        to_bytes: u64,
    },
}

impl BatchSizeOptimizer {
    /// The error that not even the floor fits at this length (which it does not).
    pub(super) fn infeasible(&self, sequence_length: u64) -> Result<Error> {
        let model = &self.budget.model;
        let estimate = model.itemise(self.floor, sequence_length)?;
        let usable_bytes = self.budget.usable_bytes();
        let fits = |length| model.items_in(usable_bytes, length).unwrap_or(0);
        let range = model.range();

        let smallest_batch = range.map_or(1, |range| range.min_batch_size.max(1));
        let floor = Some(fits(sequence_length)).filter(|batch_size| *batch_size >= smallest_batch);
        let shortest = range.map_or(1, |range| range.min_sequence_length.max(1));
        let length = greatest(shortest..=sequence_length, |length| {
            fits(length) >= self.floor
        });
        let limit = self.budget.margin.whole_leaving(estimate.total_bytes);

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
        // The sort is stable, so equals stay in this order.
        ways.sort_by(|(a, _), (b, _)| a.compare(*b));
        let mut ways = ways.into_iter().map(|(_, way)| way);
        let cheapest_way_out = ways
            .next()
            .ok_or_else(|| Error::overflow("the limit that would be needed, in bytes,"))?;
        Ok(Error::Infeasible(Box::new(Infeasible {
            shortfall_bytes: estimate.total_bytes.saturating_sub(usable_bytes),
            estimate,
            usable_bytes,
            cheapest_way_out,
            other_ways_out: ways.collect(),
        })))
    }
}

/// By which share a number changes, as a fraction.
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

    /// Exact; a change of nothing to something is above all others.
    fn compare(self, other: Self) -> Ordering {
        let cross = |a: Self, b: Self| u128::from(a.difference) * u128::from(b.whole);
        cross(self, other).cmp(&cross(other, self))
    }
}

impl fmt::Display for Infeasible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "does not fit: ")?;
        let rows = [
            ("may be used", self.usable_bytes),
            ("missing", self.shortfall_bytes),
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
