//! The channel that carries audio to the caller.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::Result;

/// Audio of one of a job's requests.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) request: usize,
    pub(crate) samples: Vec<f32>,
}

/// Creates a channel of bounded capacity whose receiver can block or be polled.
pub(crate) fn chunk_channel(capacity: usize) -> (ChunkSender, ChunkReceiver) {
    let (sender, receiver) = sync_channel(capacity);
    #[cfg(feature = "futures")]
    let waker = std::sync::Arc::new(waker::WakerSlot::default());
    let sender = ChunkSender {
        sender: Some(sender),
        #[cfg(feature = "futures")]
        waker: waker.clone(),
    };
    let receiver = ChunkReceiver {
        receiver,
        #[cfg(feature = "futures")]
        waker,
    };
    (sender, receiver)
}

/// The decoder's end.
pub(crate) struct ChunkSender {
    /// `None` only during drop.
    sender: Option<SyncSender<Result<Chunk>>>,
    #[cfg(feature = "futures")]
    waker: std::sync::Arc<waker::WakerSlot>,
}

/// The receiver was dropped.
pub(crate) struct Disconnected;

impl ChunkSender {
    /// Sends a chunk; blocks while the channel is full.
    pub(crate) fn send(&self, chunk: Result<Chunk>) -> Result<(), Disconnected> {
        let sender = self.sender.as_ref().ok_or(Disconnected)?;
        sender.send(chunk).map_err(|_| Disconnected)?;
        #[cfg(feature = "futures")]
        self.waker.wake();
        Ok(())
    }
}

impl Drop for ChunkSender {
    fn drop(&mut self) {
        // Disconnects before the receiver is woken.
        self.sender = None;
        #[cfg(feature = "futures")]
        self.waker.wake();
    }
}

/// The caller's end.
#[derive(Debug)]
pub(crate) struct ChunkReceiver {
    receiver: Receiver<Result<Chunk>>,
    #[cfg(feature = "futures")]
    waker: std::sync::Arc<waker::WakerSlot>,
}

impl ChunkReceiver {
    /// Waits for the next chunk; `None` at the end.
    pub(crate) fn receive(&self) -> Option<Result<Chunk>> {
        self.receiver.recv().ok()
    }

    /// Returns the next chunk if it is available; otherwise registers a waker for it.
    #[cfg(feature = "futures")]
    pub(crate) fn poll(
        &self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Chunk>>> {
        use std::sync::mpsc::TryRecvError;
        use std::task::Poll;

        // Registered first, so that a chunk sent in between wakes the task.
        self.waker.register(context.waker());
        match self.receiver.try_recv() {
            Ok(chunk) => Poll::Ready(Some(chunk)),
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
            Err(TryRecvError::Empty) => Poll::Pending,
        }
    }
}

#[cfg(feature = "futures")]
mod waker {
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::task::Waker;

    /// The waker of the task that polls the receiver.
    #[derive(Debug, Default)]
    pub(super) struct WakerSlot(Mutex<Option<Waker>>);

    impl WakerSlot {
        pub(super) fn register(&self, waker: &Waker) {
            let mut slot = self.lock();
            match &mut *slot {
                Some(registered) => registered.clone_from(waker),
                empty => *empty = Some(waker.clone()),
            }
        }

        pub(super) fn wake(&self) {
            let waker = self.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }

        fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
