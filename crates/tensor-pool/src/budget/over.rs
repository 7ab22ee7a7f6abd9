//! The refusal of a budget.

use std::fmt;

use super::Holder;
use bytesize::ByteSize;

/// Names in a message; the error itself has all.
const NAMED_HOLDERS: usize = 3;

/// A budget has too little room for what was to be reserved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot reserve {requested} for {what}: budget `{budget}` has {available} of {limit} left{held}; \
     drop or shrink what is held, ask for less, or raise its limit",
    requested = ByteSize::b(*requested_bytes),
    available = ByteSize::b(*available_bytes),
    limit = ByteSize::b(*limit_bytes),
    held = HeldBy(holders)
)]
#[non_exhaustive]
pub struct OverBudget {
    /// The first budget, from the one asked up to the root, that has too little room.
    pub budget: String,
    /// Its limit.
    pub limit_bytes: u64,
    /// What was to be reserved.
    pub requested_bytes: u64,
    /// For what.
    pub what: String,
    /// What that budget had left a moment later.
    pub available_bytes: u64,
    /// Who holds bytes of that budget, summed by name, the largest first.
    pub holders: Vec<Holder>,
}

struct HeldBy<'a>(&'a [Holder]);

impl fmt::Display for HeldBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, holder) in self.0.iter().take(NAMED_HOLDERS).enumerate() {
            write!(f, "{} {holder}", [", held by", ","][place.min(1)])?;
        }
        match self.0.len().saturating_sub(NAMED_HOLDERS) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
