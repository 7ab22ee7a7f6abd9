//! How long the library's own spans last: the time inside of its phases.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, SetGlobalDefaultError};
use tracing::{Event, Level, Metadata, Subscriber};

/// The spans that are watched: text is read, a latent is drawn, latents are decoded.
const NAMES: [&str; 3] = ["prompt", "frame", "decode"];

/// Nanoseconds spent in each of [`NAMES`].
static SPENT: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

thread_local! {
    /// When the open spans of this thread were entered, and how long spans inside of them took: a
    /// thread that waits for its part of a product may take up other work meanwhile.
    static ENTERED: RefCell<Vec<(Instant, Duration)>> = const { RefCell::new(Vec::new()) };
}

/// Time spent in the phases of all streams of this process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanTimes {
    /// FlowLM reads the text and draws the first latent.
    pub prompt: Duration,
    /// FlowLM draws the other latents.
    pub step: Duration,
    /// Mimi makes audio of latents.
    pub decode: Duration,
}

impl SpanTimes {
    /// Reads them.
    pub fn read() -> Self {
        let [prompt, step, decode] =
            [0, 1, 2].map(|kind| Duration::from_nanos(SPENT[kind].load(Ordering::Relaxed)));
        Self {
            prompt,
            step,
            decode,
        }
    }

    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            prompt: self.prompt.saturating_sub(earlier.prompt),
            step: self.step.saturating_sub(earlier.step),
            decode: self.decode.saturating_sub(earlier.decode),
        }
    }
}

/// Watches the spans of this process from now on.
///
/// # Errors
///
/// Something else watches them.
pub fn watch_spans() -> Result<(), SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(Watcher)
}

/// Counts time and nothing else. A span's id is its place in [`NAMES`], plus one.
struct Watcher;

fn kind(metadata: &Metadata<'_>) -> Option<usize> {
    let is_ours = metadata.is_span() && metadata.target().starts_with("tts_core");
    NAMES
        .iter()
        .position(|&name| is_ours && name == metadata.name())
}

impl Subscriber for Watcher {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match kind(metadata) {
            Some(_) => Interest::always(),
            None => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        kind(metadata).is_some()
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(Level::DEBUG.into())
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        // Only the watched are enabled.
        Id::from_u64(kind(span.metadata()).unwrap_or(0) as u64 + 1)
    }

    fn enter(&self, _: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push((Instant::now(), Duration::ZERO)));
    }

    fn exit(&self, span: &Id) {
        if let Some((start, inside)) = ENTERED.with_borrow_mut(Vec::pop) {
            let elapsed = start.elapsed();
            ENTERED.with_borrow_mut(|entered| {
                if let Some((_, around)) = entered.last_mut() {
                    *around += elapsed;
                }
            });
            let nanoseconds = elapsed.saturating_sub(inside).as_nanos() as u64;
            SPENT[span.into_u64() as usize - 1].fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
}
