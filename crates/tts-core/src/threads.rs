//! The threads that compute.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, InvalidSetting, Result};

/// Most threads that are accepted: more than any machine has cores, few enough to start.
const MAX_THREADS: usize = 1024;

/// Prepared weights below which one thread makes a frame faster than several: to hand a part of
/// each small product to another thread and to wait for it takes longer than to compute it.
const ONE_THREAD_BELOW_BYTES: usize = 64 << 20;

/// A model's thread pools. The stream's own threads wait on channels and run each frame's
/// arithmetic inside one of these, so that waiting never blocks a worker.
#[derive(Debug)]
pub(crate) struct Threads {
    /// All threads, for work that comes in large pieces.
    all: ThreadPool,
    /// One thread for latents and one for audio, where the model is small and there are two.
    pair: Option<(ThreadPool, ThreadPool)>,
}

impl Threads {
    /// Starts threads: one per available core when `count` is `None`.
    pub(crate) fn start(count: Option<usize>) -> Result<Self> {
        if let Some(count) = count
            && !(1..=MAX_THREADS).contains(&count)
        {
            return Err(Error::Setting(InvalidSetting {
                name: "threads",
                found: count.to_string(),
                allowed: "from 1 to 1024",
            }));
        }
        Ok(Self {
            all: pool(count.unwrap_or(0), "pocket-tts")?,
            pair: None,
        })
    }

    /// Gives each stream's two halves a thread of its own if the model is small.
    pub(crate) fn suit(&mut self, weight_bytes: usize) -> Result<()> {
        if weight_bytes < ONE_THREAD_BELOW_BYTES && self.count() > 1 {
            self.pair = Some((pool(1, "pocket-tts-flow")?, pool(1, "pocket-tts-mimi")?));
        }
        Ok(())
    }

    /// Number of threads that may compute at once.
    pub(crate) fn count(&self) -> usize {
        self.all.current_num_threads()
    }

    /// For loading, prompts and voices.
    pub(crate) fn all(&self) -> &ThreadPool {
        &self.all
    }

    /// For latents, frame by frame.
    pub(crate) fn generating(&self) -> &ThreadPool {
        self.pair.as_ref().map_or(&self.all, |(flow_lm, _)| flow_lm)
    }

    /// For audio, a few frames at a time.
    pub(crate) fn decoding(&self) -> &ThreadPool {
        self.pair.as_ref().map_or(&self.all, |(_, mimi)| mimi)
    }
}

fn pool(count: usize, name: &'static str) -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(count)
        .thread_name(move |index| format!("{name}-{index}"))
        .build()
        .map_err(|error| Error::Thread {
            purpose: "computing",
            source: std::io::Error::other(error),
        })
}
