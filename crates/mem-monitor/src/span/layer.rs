//! The `tracing` layer.

use std::{fmt, sync::Arc, sync::atomic::Ordering, time::Duration};

use tracing::{
    Subscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::{Counted, Open, SpanCall};
use crate::{Event, monitor::Shared, source::PeakWindow};

/// A `tracing` layer that gives every span its memory at entry and exit, its peak, and counts calls.
///
/// A span is open from its first entry to its last exit; an `async` one may be left and entered in
/// between. Memory is what the monitor's heap counter has live, or the resident set without one.
/// Entering and leaving read the resident set each time (about 3 us, without a heap counter another
/// 6 us for the kernel's mark) and look at every open span: meant for phases and frames, not for
/// inner loops. Use `tracing-subscriber`'s filters to leave spans out.
///
/// Closures that were plugged into the monitor must not open spans themselves.
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

impl SpanLayer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Tells this layer's notes on a span from those of other monitors' layers.
    fn key(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    fn value_now(&self, counted: Counted) -> Option<u64> {
        match counted {
            Counted::Heap => self.shared.heap()?.live(),
            Counted::Rss => self.shared.rss_now(),
        }
    }

    fn look(&self, counted: Counted) -> Look {
        let rss = self.shared.rss_now();
        let heap = self.shared.heap();
        match counted {
            Counted::Heap => Look {
                rss,
                value: heap.and_then(|heap| heap.live()),
                mark: heap.and_then(|heap| heap.peak()),
            },
            Counted::Rss => Look {
                rss,
                value: rss,
                mark: self.shared.high_water_now(),
            },
        }
    }
}

/// Memory at one moment.
struct Look {
    rss: Option<u64>,
    value: Option<u64>,
    /// A peak over the process's life: where it rises, the peak is here and now.
    mark: Option<u64>,
}

/// What is noted on an open span.
struct Track {
    open: Arc<Open>,
    window: Option<PeakWindow>,
    start: Duration,
    entry: Look,
    last_exit: Option<Exit>,
}

struct Exit {
    end: Duration,
    value: Option<u64>,
    rss: Option<u64>,
    peak: Option<u64>,
}

/// The notes of all layers of this kind, by their key.
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
        let Some(span) = ctx.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(Tracks(tracks)) = extensions.get_mut() else {
            return;
        };
        if let Some((_, track)) = tracks.iter().find(|(key, _)| *key == self.key()) {
            // It was left and is entered again: what is there now belongs to it as well.
            let counted = track.open.counted;
            if let Some(value) = self.value_now(counted) {
                self.shared.spans.raise(counted, value);
            }
            return;
        }
        let heap = self.shared.heap().filter(|heap| heap.live().is_some());
        let counted = heap.map_or(Counted::Rss, |_| Counted::Heap);
        let open = self.shared.spans.open(counted);
        let entry = self.look(counted);
        if let Some(value) = entry.value {
            self.shared.spans.raise(counted, value);
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
        let Some(span) = ctx.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(Tracks(tracks)) = extensions.get_mut() else {
            return;
        };
        let Some((_, track)) = tracks.iter_mut().find(|(key, _)| *key == self.key()) else {
            return;
        };
        let exit = self.look(track.open.counted);
        if let Some(value) = exit.value {
            self.shared.spans.raise(track.open.counted, value);
        }
        let seen = Some(track.open.peak.load(Ordering::Relaxed)).filter(|b| *b > 0);
        let window = track.window.as_ref().and_then(|read| read());
        let risen = exit.mark.filter(|_| exit.mark > track.entry.mark);
        track.last_exit = Some(Exit {
            end: self.shared.elapsed(),
            value: exit.value,
            rss: exit.rss,
            peak: seen.max(window).max(risen).max(exit.value),
        });
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let level = span.scope().skip(1).count();
        let track = {
            let mut extensions = span.extensions_mut();
            let Some(Tracks(tracks)) = extensions.get_mut() else {
                return;
            };
            let Some(i) = tracks.iter().position(|(key, _)| *key == self.key()) else {
                // It was never entered: there is nothing to tell of.
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
            counted: track.open.counted,
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
