//! The memory that speech is made in.
//!
//! A program that installs [`PoolAllocator`] keeps the large blocks of one frame for the next: after
//! the first few, a frame asks the system for none.
//!
//! ```standalone_crate
//! # #[cfg(feature = "builtin-voice")] {
//! use pocket_tts::memory::PoolAllocator;
//! use pocket_tts::{GenerateOptions, TtsModel};
//!
//! #[global_allocator]
//! static ALLOCATOR: PoolAllocator = PoolAllocator::new();
//!
//! assert!(ALLOCATOR.install());
//! let model = TtsModel::builtin()?;
//! let voice = model.default_voice()?;
//! model.generate(&voice, "Hello world.", &GenerateOptions::default())?;
//! println!("at most {} at once", ALLOCATOR.stats().peak);
//! // What streams remember is leased from the model's own pool, and all of it is back.
//! assert_eq!(model.memory_pool().get_stats().bytes_in_use.get(), 0);
//! # }
//! # Ok::<(), pocket_tts::Error>(())
//! ```

pub use tensor_pool::{
    AllocatorStats, Bytes, Heap, MemoryPool, OutstandingTensor, PoolAllocator, PoolStats, Scope,
    heap,
};
