//! The error of a refused reservation.

use std::fmt;

use super::Holder;
use bytesize::ByteSize;

/// The number of holders in the message. The error itself contains all of them.
const NAMED_HOLDERS: usize = 3;

/// A reservation does not fit a budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot reserve {requested} for {what}: {available} of {limit} available in budget `{budget}`{in_use}; \
     release reservations, reserve less or raise the limit",
    requested = ByteSize::b(*requested_bytes),
    available = ByteSize::b(*available_bytes),
    limit = ByteSize::b(*limit_bytes),
    in_use = InUse(holders)
)]
#[non_exhaustive]
pub struct OverBudget {
    /// The first budget, from the requested one up to the root, that has too few bytes available.
    pub budget: String,
    /// The limit of that budget. If it has none, the largest sum that a budget can count: 2^48 - 1.
    pub limit_bytes: u64,
    /// The bytes that were requested.
    pub requested_bytes: u64,
    /// The name of the requested reservation.
    pub what: String,
    /// The available bytes of that budget, read after the refusal.
    pub available_bytes: u64,
    /// The bytes that must be released in that budget, or added to its limit, before the
    /// reservation fits there. Read after the refusal; 0 if they have been released since.
    pub shortfall_bytes: u64,
    /// The reservations in that budget and its descendants, summed by name, the largest first.
    pub holders: Vec<Holder>,
}

struct InUse<'a>(&'a [Holder]);

impl fmt::Display for InUse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, holder) in self.0.iter().take(NAMED_HOLDERS).enumerate() {
            write!(f, "{} {holder}", [" (in use:", ","][index.min(1)])?;
        }
        match self.0.len().saturating_sub(NAMED_HOLDERS) {
            0 if self.0.is_empty() => Ok(()),
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}
