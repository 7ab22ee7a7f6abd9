//! Calls of `hf-hub` with a timeout.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::ApiError;

/// Reports the received bytes of a file.
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
        // The receiver of an abandoned call no longer exists.
        let _ = self.sender.send(self.bytes);
    }

    fn finish(&mut self) {}
}

/// Runs a call of `hf-hub` on a separate thread, which adds two features: the call fails if the server
/// sends nothing for `timeout` (`hf-hub` accepts no client with timeouts), and a panic becomes an error
/// (`hf-hub` panics on a redirection without an address). The thread of an abandoned call ends with its
/// connection.
pub(super) fn run<T: Send + 'static>(
    timeout: Duration,
    mut received: impl FnMut(u64),
    call: impl FnOnce(Counter) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let (sender, bytes) = channel();
    let thread = thread::spawn(move || call(Counter { bytes: 0, sender }));
    loop {
        match bytes.recv_timeout(timeout) {
            Ok(bytes) => received(bytes),
            Err(RecvTimeoutError::Timeout) => {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            // The call has ended and dropped its counter.
            Err(RecvTimeoutError::Disconnected) => {
                let panicked = |_| {
                    let problem = "hf-hub cannot read the server's response";
                    Err(io::Error::other(problem).into())
                };
                return thread.join().unwrap_or_else(panicked);
            }
        }
    }
}

/// Whether a call was abandoned because the server sent nothing.
pub(super) fn is_timeout(error: &ApiError) -> bool {
    matches!(error, ApiError::IoError(error) if error.kind() == io::ErrorKind::TimedOut)
}
