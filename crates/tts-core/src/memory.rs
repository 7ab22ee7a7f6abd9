//! What speech takes of memory: counted, predicted, and kept within a limit.
//!
//! *Counted* bytes are heap blocks live in the allocator, weights mapped from files, and what is in use
//! of devices' own pools. Limits and predictions are about these.

mod cost;
mod limit;

pub use crate::ledger::{Counted, counted};
pub use cost::{StreamCost, StreamNeed};
pub(crate) use limit::Reservation;
pub use limit::{MemoryLimit, present, reserved};
