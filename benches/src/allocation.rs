//! The allocations of one speech, recorded and replayed on several allocators.
//!
//! A replay calls the measured allocator directly, and the replaying process itself uses the system's
//! allocator. The process's own allocations are therefore not measured, and the calls need no dispatch. To
//! measure a whole program on an allocator, use [`SwitchedAllocator`] as its global allocator.

mod kind;
mod recorder;
mod replay;
mod switch;
mod trace;

pub use kind::{AllocatorKind, POOL};
pub use recorder::record;
pub use replay::{
    CalledLikeGlobal, Pass, Replay, Replayed, TOUCH_STRIDE_BYTES, replay, replay_in_new_process,
    serve_replay,
};
pub use switch::{RECORDING, SwitchedAllocator, VARIABLE};
pub use trace::{Recording, Trace};
