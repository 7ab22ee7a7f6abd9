//! The allocator on top of a checking allocator. Also run under valgrind.

mod block;
mod checked;
mod counting;
mod pooling;
mod release;
mod resizing;
