//! Ctrl-C: cancels the work of the command.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use pocket_tts::CancelToken;

/// Exit code after an interrupt: 128 plus the number of the signal, as in shells.
pub(crate) const INTERRUPTED: u8 = 130;

/// Time in which cancelled work can end by itself, before anything has to be saved.
const GRACE: Duration = Duration::from_millis(150);

/// The interrupt of a command. The first Ctrl-C cancels the work; the second one ends the program.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    token: CancelToken,
    /// The token of the stream that is spoken.
    stream: Arc<OnceLock<CancelToken>>,
    /// Whether an interrupted command saves something, so that it must not be ended after the grace time.
    saves: Arc<AtomicBool>,
}

impl Interrupt {
    /// Installs the handler.
    pub(crate) fn install() -> Result<Self> {
        let interrupt = Self::default();
        let handler = interrupt.clone();
        ctrlc::set_handler(move || handler.handle()).context("cannot handle Ctrl-C")?;
        Ok(interrupt)
    }

    /// Returns the token that the first Ctrl-C cancels.
    pub(crate) fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// From now on, an interrupt cancels the stream, and the command saves what was generated.
    pub(crate) fn save_stream(&self, stream: CancelToken) {
        // A command has one stream.
        let _ = self.stream.set(stream);
        self.saves.store(true, Ordering::Relaxed);
        // The interrupt may have come first.
        if self.is_cancelled() {
            self.cancel();
        }
    }

    fn cancel(&self) {
        self.token.cancel();
        if let Some(stream) = self.stream.get() {
            stream.cancel();
        }
    }

    fn handle(&self) {
        if self.token.is_cancelled() {
            end();
        }
        self.cancel();
        let saves = self.saves.clone();
        // Signals that arrive meanwhile are handled.
        let waiting = thread::Builder::new().spawn(move || {
            thread::sleep(GRACE);
            if !saves.load(Ordering::Relaxed) {
                end();
            }
        });
        if waiting.is_err() && !self.saves.load(Ordering::Relaxed) {
            end();
        }
    }
}

fn end() -> ! {
    std::process::exit(INTERRUPTED.into());
}
