//! Thread pools for computation.

use std::io;
use std::num::NonZero;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Largest accepted number of threads: more than any machine has cores, and quick to start.
const MAX_THREADS: usize = 1024;

/// Size of the prepared weights below which one thread computes a frame faster than several: sharing a
/// small product with another thread takes longer than computing it.
const SINGLE_THREAD_BELOW_BYTES: usize = 64 << 20;

/// Threads of a stream besides those of its model: a generator and a decoder.
pub(crate) const STREAM_THREADS: usize = 2;

/// An error of the thread pools.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadsError {
    /// The number of threads is out of range.
    #[error("threads is {count}; it must be from 1 to {MAX_THREADS}")]
    Count {
        /// The number.
        count: usize,
    },
    /// The system cannot start a thread.
    #[error(
        "cannot start the compute threads: use fewer threads, or raise the system's limits on threads and \
         memory (`ulimit -u`, `-v` and `-d`)"
    )]
    Start(#[source] io::Error),
}

/// A model's thread pools. A stream's threads compute each frame inside a pool, but wait for channels
/// outside of it, so waiting never blocks a pool.
#[derive(Debug)]
pub(crate) struct Threads {
    /// All threads, for large work.
    all: ThreadPool,
    /// One thread for latents and one for audio, if the model is small and there are two threads.
    pair: Option<(ThreadPool, ThreadPool)>,
}

impl Threads {
    /// Returns an upper bound of the threads that [`Self::start`] and [`Self::adapt_to`] start.
    pub(crate) fn planned(count: Option<usize>) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        count.unwrap_or_else(cores).min(MAX_THREADS) + 2
    }

    /// Starts `count` threads; one per available core if `None`.
    ///
    /// # Errors
    ///
    /// The number is out of range, or a thread cannot be started.
    pub(crate) fn start(count: Option<usize>) -> Result<Self, ThreadsError> {
        if let Some(count) = count
            && !(1..=MAX_THREADS).contains(&count)
        {
            return Err(ThreadsError::Count { count });
        }
        Ok(Self {
            all: pool(count.unwrap_or(0), "pocket-tts")?,
            pair: None,
        })
    }

    /// Starts separate threads for latents and audio if the model is small.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub(crate) fn adapt_to(&mut self, weight_bytes: usize) -> Result<(), ThreadsError> {
        if weight_bytes < SINGLE_THREAD_BELOW_BYTES && self.count() > 1 {
            self.pair = Some((pool(1, "pocket-tts-flow")?, pool(1, "pocket-tts-mimi")?));
        }
        Ok(())
    }

    /// Number of compute threads.
    pub(crate) fn count(&self) -> usize {
        self.all.current_num_threads()
    }

    /// The pool for loading, prompts and voices.
    pub(crate) fn all(&self) -> &ThreadPool {
        &self.all
    }

    /// The pool for latents, one frame at a time.
    pub(crate) fn generating(&self) -> &ThreadPool {
        self.pair.as_ref().map_or(&self.all, |(flow_lm, _)| flow_lm)
    }

    /// The pool for audio, a few frames at a time.
    pub(crate) fn decoding(&self) -> &ThreadPool {
        self.pair.as_ref().map_or(&self.all, |(_, mimi)| mimi)
    }
}

fn pool(count: usize, name: &'static str) -> Result<ThreadPool, ThreadsError> {
    ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(move |index| format!("{name}-{index}"))
        .build()
        // The message of rayon's error is that of its source.
        .map_err(|error| ThreadsError::Start(io::Error::other(error.to_string())))
}
