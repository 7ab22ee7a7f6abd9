//! The `tracing` layer that measures spans.

use std::{fmt, sync::Arc, time::Duration};

use tracing::{
    Subscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::Shared;
use crate::{
    Event, MemoryMonitor, Quantity, SpanCall, SpanStats, SpanWindow, source::PeakWindow, span::Open,
};

/// A `tracing` layer that measures the memory of every span at entry, at exit and at its peak.
///
/// A span is open from its first entry to its last exit; an `async` span may be exited and entered in
/// between. The figures are the live bytes of the heap counter, or the resident set without one.
///
/// Each entry and exit reads the resident set (about 3 µs; without a heap counter also the kernel's
/// high-water mark, another 6 µs) and updates every open span. Use it for phases, not for inner loops;
/// filters of `tracing-subscriber` exclude spans.
///
/// Closures passed to the monitor must not open spans. In a forked child the layer does nothing.
///
/// ```
/// use mem_monitor::MemoryMonitor;
/// use tracing_subscriber::{layer::SubscriberExt, registry::Registry};
///
/// let monitor = MemoryMonitor::default();
/// let subscriber = Registry::default().with(monitor.span_layer());
/// tracing::subscriber::with_default(subscriber, || {
///     let _load = tracing::info_span!("load").entered();
/// });
/// let stats = monitor.span_stats();
/// assert_eq!((stats[0].name, stats[0].calls), ("load", 1));
/// ```
pub struct SpanLayer {
    shared: Arc<Shared>,
}

/// Spans of a monitor, with the feature `tracing`.
impl MemoryMonitor {
    /// Returns a `tracing` layer that measures spans with this monitor.
    pub fn span_layer(&self) -> SpanLayer {
        SpanLayer {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Returns the statistics by span name, largest rise first.
    pub fn span_stats(&self) -> Vec<SpanStats> {
        self.shared.spans.stats()
    }

    /// Returns a window over the spans that finish from now on.
    ///
    /// ```
    /// use mem_monitor::MemoryMonitor;
    /// use tracing_subscriber::{layer::SubscriberExt, registry::Registry};
    ///
    /// let monitor = MemoryMonitor::default();
    /// let subscriber = Registry::default().with(monitor.span_layer());
    /// tracing::subscriber::with_default(subscriber, || {
    ///     tracing::info_span!("load").in_scope(|| ());
    ///     let window = monitor.span_window();
    ///     tracing::info_span!("load").in_scope(|| ());
    ///     assert_eq!(window.stats()[0].calls, 1);
    /// });
    /// assert_eq!(monitor.span_stats()[0].calls, 2);
    /// ```
    pub fn span_window(&self) -> SpanWindow {
        self.shared.spans.window()
    }

    /// Returns finished spans by start time. If there are many, only the longest are stored.
    pub fn span_calls(&self) -> Vec<Arc<SpanCall>> {
        self.shared.spans.calls()
    }
}

impl SpanLayer {
    /// Identifies this layer among the layers of several monitors.
    fn key(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn value_now(&self, quantity: Quantity) -> Option<u64> {
        match quantity {
            Quantity::Heap => self.shared.heap()?.live(),
            Quantity::Rss | Quantity::Counted => self.shared.rss_now(),
        }
    }

    fn window_peak(&self, window: Option<&PeakWindow>) -> Option<u64> {
        self.shared.heap()?.window_peak(window?)
    }

    fn measure(&self, quantity: Quantity) -> Measurement {
        let rss = self.shared.rss_now();
        let heap = self.shared.heap();
        match quantity {
            Quantity::Heap => Measurement {
                rss,
                value: heap.and_then(|heap| heap.live()),
                mark: heap.and_then(|heap| heap.peak()),
            },
            Quantity::Rss | Quantity::Counted => Measurement {
                rss,
                value: rss,
                mark: self.shared.high_water_now(),
            },
        }
    }
}

/// Memory at an entry or exit.
struct Measurement {
    rss: Option<u64>,
    value: Option<u64>,
    /// A peak over the process's lifetime. If it rises during a span, the span has reached it.
    mark: Option<u64>,
}

/// Data of an open span.
struct Track {
    open: Arc<Open>,
    window: Option<PeakWindow>,
    start: Duration,
    entry: Measurement,
    last_exit: Option<Exit>,
}

struct Exit {
    end: Duration,
    value: Option<u64>,
    rss: Option<u64>,
    peak: Option<u64>,
}

/// The data of all layers of this type, by layer key.
struct Tracks(Vec<(usize, Track)>);

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id) {
            let mut extensions = span.extensions_mut();
            if extensions.get_mut::<Tracks>().is_none() {
                extensions.insert(Tracks(Vec::new()));
            }
        }
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        if self.shared.is_forked() {
            return;
        }
        let Some(span) = ctx.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(Tracks(tracks)) = extensions.get_mut() else {
            return;
        };
        if let Some((_, track)) = tracks.iter().find(|(key, _)| *key == self.key()) {
            // The span is entered again.
            let quantity = track.open.quantity;
            if let Some(value) = self.value_now(quantity) {
                self.shared.spans.raise(quantity, value);
            }
            return;
        }
        let heap = self.shared.heap().filter(|heap| heap.live().is_some());
        let quantity = heap.map_or(Quantity::Rss, |_| Quantity::Heap);
        let open = self.shared.spans.open(quantity);
        let entry = self.measure(quantity);
        if let Some(value) = entry.value {
            self.shared.spans.raise(quantity, value);
        }
        tracks.push((
            self.key(),
            Track {
                open,
                window: heap.and_then(|heap| heap.open_window()),
                start: self.shared.elapsed(),
                entry,
                last_exit: None,
            },
        ));
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        if self.shared.is_forked() {
            return;
        }
        let Some(span) = ctx.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(Tracks(tracks)) = extensions.get_mut() else {
            return;
        };
        let Some((_, track)) = tracks.iter_mut().find(|(key, _)| *key == self.key()) else {
            return;
        };
        let exit = self.measure(track.open.quantity);
        if let Some(value) = exit.value {
            self.shared.spans.raise(track.open.quantity, value);
        }
        let seen = track.open.peak_bytes();
        let window = self.window_peak(track.window.as_ref());
        let risen = exit.mark.filter(|_| exit.mark > track.entry.mark);
        track.last_exit = Some(Exit {
            end: self.shared.elapsed(),
            value: exit.value,
            rss: exit.rss,
            peak: seen.max(window).max(risen).max(exit.value),
        });
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        if self.shared.is_forked() {
            return;
        }
        let Some(span) = ctx.span(&id) else { return };
        let level = span.scope().skip(1).count();
        let track = {
            let mut extensions = span.extensions_mut();
            let Some(Tracks(tracks)) = extensions.get_mut() else {
                return;
            };
            let Some(i) = tracks.iter().position(|(key, _)| *key == self.key()) else {
                // The span was never entered.
                return;
            };
            tracks.swap_remove(i).1
        };
        let Some(exit) = track.last_exit else { return };
        let call = Arc::new(SpanCall {
            target: span.metadata().target(),
            name: span.metadata().name(),
            level,
            time: self.shared.time_of_day(track.start),
            start: track.start,
            end: exit.end,
            quantity: track.open.quantity,
            entry_bytes: track.entry.value,
            exit_bytes: exit.value,
            peak_bytes: exit.peak,
            rss_entry_bytes: track.entry.rss,
            rss_exit_bytes: exit.rss,
        });
        self.shared.spans.close(&track.open, &call);
        self.shared.publish(&Event::Span(call));
    }
}

impl fmt::Debug for SpanLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanLayer").finish_non_exhaustive()
    }
}
