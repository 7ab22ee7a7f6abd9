//! The time spent in the spans of `tts-core`.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, SetGlobalDefaultError};
use tracing::{Event, Level, Metadata, Subscriber};

/// The names of the measured spans: prefill, sampling a latent, decoding latents.
const NAMES: [&str; 3] = ["prompt", "frame", "decode"];

/// Nanoseconds spent in each of [`NAMES`].
static SPENT: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

thread_local! {
    /// The entry time of each open span of this thread, and the total time of the spans nested in it.
    /// Spans nest because a thread that waits for a parallel matrix product may run another task.
    static ENTERED: RefCell<Vec<(Instant, Duration)>> = const { RefCell::new(Vec::new()) };
}

/// The total time that all streams of this process have spent in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanTimes {
    /// Prefill, including sampling the first latent.
    pub prompt: Duration,
    /// Sampling the other latents.
    pub sampling: Duration,
    /// Decoding latents to audio.
    pub decode: Duration,
}

impl SpanTimes {
    /// Returns the times so far.
    pub fn read() -> Self {
        let [prompt, sampling, decode] =
            [0, 1, 2].map(|kind| Duration::from_nanos(SPENT[kind].load(Ordering::Relaxed)));
        Self {
            prompt,
            sampling,
            decode,
        }
    }

    /// Returns the time since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            prompt: self.prompt.saturating_sub(earlier.prompt),
            sampling: self.sampling.saturating_sub(earlier.sampling),
            decode: self.decode.saturating_sub(earlier.decode),
        }
    }
}

/// Starts measuring the spans of this process.
///
/// # Errors
///
/// Another global subscriber is already installed.
pub fn measure_spans() -> Result<(), SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(SpanTimer)
}

/// A subscriber that only measures time. The id of a span is its index in [`NAMES`] plus one.
struct SpanTimer;

fn kind(metadata: &Metadata<'_>) -> Option<usize> {
    let is_core_span = metadata.is_span() && metadata.target().starts_with("tts_core");
    NAMES
        .iter()
        .position(|&name| is_core_span && name == metadata.name())
}

impl Subscriber for SpanTimer {
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
        // Only spans in `NAMES` are enabled.
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
