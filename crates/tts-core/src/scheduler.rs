//! The two threads of a stream: one generates latents, the other decodes them to audio.

mod channel;
mod decoder;
mod generator;
mod progress;
mod queue;
mod sequence;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

pub(crate) use channel::{Chunk, ChunkReceiver, chunk_channel};
pub(crate) use decoder::{FRAMES_PER_CALL, PENDING_FRAMES_PER_SEGMENT};
pub use progress::Progress;
pub(crate) use queue::{JobRequest, Sampling};

use tensor_pool::Reservation;

use crate::cancel::CancelToken;
use crate::engine::Engine;
use crate::error::{Result, StreamError};
use crate::ledger::Admission;
use decoder::Decoder;
use generator::Generator;
use progress::Counters;
use queue::SegmentQueue;

/// Capacity, in frames, of the channel between the threads. FlowLM runs ahead of Mimi by a few seconds
/// of speech at most.
pub(crate) const FRAMES_AHEAD: usize = 32;

/// Capacity of the audio channel in chunks. If the caller stops reading, the threads block.
pub(crate) const CHUNKS_AHEAD: usize = 8;

/// Speech to generate.
pub(crate) struct Job {
    pub(crate) requests: Vec<JobRequest>,
    /// Maximum number of segments generated together.
    pub(crate) max_batch_size: usize,
    pub(crate) solver_steps: usize,
    /// Admits one segment at a time for the life of the stream.
    pub(crate) admission: Admission,
    /// Reservations of further segments.
    pub(crate) slots: Vec<Reservation>,
    /// Bytes of each.
    pub(crate) slot_bytes: u64,
}

/// A running job. Its chunks are ordered by request.
///
/// Dropping it cancels the job without waiting for the threads. They stop at the next frame and then
/// release their memory.
#[derive(Debug)]
pub(crate) struct Running {
    chunks: Option<ChunkReceiver>,
    threads: Vec<JoinHandle<()>>,
    cancel: CancelToken,
    counters: Arc<Counters>,
    batch_size: usize,
}

impl Running {
    /// Starts the threads of a job.
    pub(crate) fn start(engine: &Arc<Engine>, job: Job) -> Result<Self> {
        let admission = Arc::new(job.admission);
        let batch_size = job.slots.len() + 1;
        let cancel = CancelToken::new();
        let counters = Arc::new(Counters::default());
        let (frame_sender, frames) = sync_channel(FRAMES_AHEAD);
        let (chunk_sender, chunks) = chunk_channel(CHUNKS_AHEAD);
        let mut generator = Generator {
            engine: engine.clone(),
            segments: SegmentQueue::new(job.requests),
            max_batch_size: job.max_batch_size,
            solver_steps: job.solver_steps,
            slots: job.slots,
            slot_bytes: job.slot_bytes,
            cancel: cancel.clone(),
            counters: counters.clone(),
            frames: frame_sender,
            admission: admission.clone(),
        };
        let mut decoder = Decoder {
            engine: engine.clone(),
            frames,
            chunks: chunk_sender,
            max_pending: match job.max_batch_size {
                1 => FRAMES_PER_CALL,
                more => more * PENDING_FRAMES_PER_SEGMENT,
            },
            cancel: cancel.clone(),
            counters: counters.clone(),
            _admission: admission,
        };
        let mut running = Self {
            chunks: Some(chunks),
            threads: Vec::with_capacity(2),
            cancel,
            counters,
            batch_size,
        };
        running.spawn("decoder", move |counters| {
            // Dropped before the decoder, so a panic is recorded before the channels close.
            let _panic = counters.record_panic();
            decoder.run();
        })?;
        running.spawn("generator", move |counters| {
            let _panic = counters.record_panic();
            generator.run();
        })?;
        Ok(running)
    }

    fn spawn(
        &mut self,
        purpose: &'static str,
        run: impl FnOnce(&Counters) + Send + 'static,
    ) -> Result<()> {
        let counters = self.counters.clone();
        let thread = std::thread::Builder::new()
            .name(format!("pocket-tts-{purpose}"))
            .spawn(move || run(&counters))
            .map_err(|source| StreamError::Thread { purpose, source })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Returns the number of segments generated together.
    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Returns the token that cancels the job. Unlike [`Self::cancel`], it works while another thread waits
    /// for the next chunk.
    pub(crate) fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    pub(crate) fn progress(&self) -> Progress {
        self.counters.read()
    }

    /// Cancels the job without waiting for the threads.
    pub(crate) fn cancel(&mut self) {
        self.cancel.cancel();
        // A thread that waits for capacity in the channel wakes up when the receiver is dropped.
        self.chunks = None;
    }

    /// Cancels the job and waits until its threads have ended and released their memory.
    pub(crate) fn join(&mut self) {
        self.cancel();
        for thread in self.threads.drain(..) {
            // A panic is recorded in the counters.
            let _ = thread.join();
        }
    }

    /// Handles a received item; `None` is the end of the channel. After an error or at the end, there
    /// are no further items.
    fn item(&mut self, received: Option<Result<Chunk>>) -> Option<Result<Chunk>> {
        match received {
            Some(Ok(chunk)) => return Some(Ok(chunk)),
            Some(Err(error)) => {
                self.cancel();
                return Some(Err(error));
            }
            None => self.cancel(),
        }
        self.counters
            .has_panicked()
            .then(|| Err(StreamError::Panicked.into()))
    }

    /// Returns the next item, or registers a waker for it.
    #[cfg(feature = "futures")]
    pub(crate) fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Chunk>>> {
        let Some(chunks) = &self.chunks else {
            return std::task::Poll::Ready(None);
        };
        chunks.poll(context).map(|received| self.item(received))
    }
}

impl Iterator for Running {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        let received = self.chunks.as_ref()?.receive();
        let item = self.item(received);
        if !matches!(item, Some(Ok(_))) {
            // The threads are ending. When the iterator has ended, their memory is released.
            self.join();
        }
        item
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel();
    }
}

// The threads and the channel cannot be traced.
crate::traced::trace_fields!(Running: cancel, counters);
