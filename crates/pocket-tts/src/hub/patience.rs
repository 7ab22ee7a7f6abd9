//! Calls of `hf-hub` that may take long, but not forever.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::ApiError;

/// Counts the bytes of a file as they arrive.
pub(super) struct Counter {
    bytes: u64,
    sender: Sender<u64>,
}

impl Progress for Counter {
    fn init(&mut self, _size: usize, _filename: &str) {
        self.bytes = 0;
    }

    fn update(&mut self, size: usize) {
        self.bytes += size as u64;
        // Nobody listens any more to a call that was given up.
        let _ = self.sender.send(self.bytes);
    }

    fn finish(&mut self) {}
}

/// Runs a call of `hf-hub` in a thread of its own, for two things that it cannot do: give up a server that is
/// silent for longer than `patience` (it takes no client with timeouts), and fail without a panic (it panics on
/// a redirection without an address). A call that is given up lives on until its connection ends.
pub(super) fn run<T: Send + 'static>(
    patience: Duration,
    mut arrived: impl FnMut(u64),
    call: impl FnOnce(Counter) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let (sender, bytes) = channel();
    let thread = thread::spawn(move || call(Counter { bytes: 0, sender }));
    loop {
        match bytes.recv_timeout(patience) {
            Ok(bytes) => arrived(bytes),
            Err(RecvTimeoutError::Timeout) => {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            // The call has ended, and its counter with it.
            Err(RecvTimeoutError::Disconnected) => {
                let panicked = |_| {
                    let problem = "hf-hub cannot read the server's answer";
                    Err(io::Error::other(problem).into())
                };
                return thread.join().unwrap_or_else(panicked);
            }
        }
    }
}

/// Whether a call was given up for a server's silence.
pub(super) fn is_lost(error: &ApiError) -> bool {
    matches!(error, ApiError::IoError(error) if error.kind() == io::ErrorKind::TimedOut)
}
