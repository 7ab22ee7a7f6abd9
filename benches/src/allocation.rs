//! The allocations of one speech: recorded, and replayed on several allocators.
//!
//! What is replayed calls the allocator that is measured directly, while the replaying process itself
//! lives on the system's: its own memory is then neither measured nor in the way, and the calls are
//! not looked up. Where a whole program is measured on an allocator, [`SwitchedAllocator`] is its
//! global one.

mod kind;
mod recorder;
mod replay;
mod switch;
mod trace;

pub use kind::{AllocatorKind, POOL};
pub use recorder::record;
pub use replay::{
    Pass, Reached, Replay, Replayed, TOUCH_STRIDE_BYTES, replay, replay_in_new_process,
    serve_replay,
};
pub use switch::{RECORDING, SwitchedAllocator, VARIABLE};
pub use trace::{Recording, Trace};
