//! What speech takes of memory: counted, predicted, and kept within a limit.
//!
//! *Counted* bytes are heap blocks live in the allocator, weights mapped from files, and what is in use
//! of devices' own pools. Limits and predictions are about these.

mod cost;
mod counted;
mod limit;

pub use cost::{StreamCost, StreamNeed};
pub(crate) use counted::Held;
pub use counted::{Counted, counted};
pub(crate) use limit::Reservation;
pub use limit::{MemoryLimit, present, reserved};
