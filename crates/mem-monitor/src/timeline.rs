//! Timelines as SVG and HTML.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{Alert, Breakdown, Error, History, Limit, MemoryMonitor, Metric, SpanCall, SpanStats};

mod axis;
mod bands;
mod draw;
#[cfg(feature = "html")]
mod html;
mod style;

/// The default series.
const DEFAULT_SERIES: [Metric; 3] = [Metric::Rss, Metric::Heap, Metric::Device];

/// The size of the drawing in an HTML page, in pixels; the page scales it to its width.
#[cfg(feature = "html")]
const HTML_SIZE: (u32, u32) = (1200, 560);

/// A monitor's history as a self-contained chart: series over time, spans as bands below, the limit as a
/// line, markers for the peak and the alerts.
///
/// Times are relative to the creation of the monitor. If a bucket of the history has several samples, the
/// line is their mean and the shaded area spans minimum to maximum. SVG and HTML follow the light or dark
/// preference of the viewer and load no external resources.
///
/// ```
/// use mem_monitor::MemoryMonitor;
///
/// # fn main() -> Result<(), mem_monitor::Error> {
/// let monitor = MemoryMonitor::default();
/// monitor.sample();
/// let timeline = monitor.timeline("My program");
/// let svg = timeline.to_svg(900, 480)?;
/// let page = timeline.to_html()?;
/// assert!(svg.contains("</svg>") && page.contains("</html>"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "html"),
    expect(dead_code, reason = "only the page has tables")
)]
pub struct Timeline {
    title: String,
    /// Wall-clock time at time zero.
    start: SystemTime,
    history: History,
    series: Vec<Metric>,
    calls: Vec<Arc<SpanCall>>,
    stats: Vec<SpanStats>,
    alerts: Vec<Alert>,
    limit: Option<Limit>,
    peak: Option<u64>,
    rss_peak: Option<u64>,
    breakdown: Breakdown,
    breakdown_at_peak: Option<Breakdown>,
}

impl MemoryMonitor {
    /// Returns a timeline of everything recorded so far. Takes a sample.
    pub fn timeline(&self, title: impl Into<String>) -> Timeline {
        let sample = self.sample();
        let history = self.history();
        let known = |metric: &Metric| history.max_bytes(*metric).is_some();
        Timeline {
            title: title.into(),
            start: sample.time - sample.elapsed,
            series: DEFAULT_SERIES.into_iter().filter(known).collect(),
            calls: self.span_calls(),
            stats: self.span_stats(),
            alerts: self.get_memory_alerts(),
            limit: sample.limit.clone(),
            peak: sample.peak_bytes,
            rss_peak: sample.rss_peak_bytes,
            breakdown: self.breakdown_of(&sample.reading),
            breakdown_at_peak: self.peak_breakdown(),
            history,
        }
    }
}

impl Timeline {
    /// Replaces the default series: resident set, heap and devices.
    pub fn series(mut self, series: impl IntoIterator<Item = Metric>) -> Self {
        self.series = series.into_iter().collect();
        self
    }

    /// Renders an SVG document.
    ///
    /// # Errors
    /// [`Error::Draw`] for less than 480 x 320 or more than 8,192 pixels on a side.
    pub fn to_svg(&self, width: u32, height: u32) -> Result<String, Error> {
        draw::svg(self, width, height)
    }

    /// Renders an HTML page with the chart and tables of alerts, spans and categories. Requires the feature
    /// `html`.
    ///
    /// # Errors
    /// [`Error::Draw`] if the chart cannot be drawn.
    #[cfg(feature = "html")]
    pub fn to_html(&self) -> Result<String, Error> {
        let (width, height) = HTML_SIZE;
        let drawing = draw::drawing(self, width, height)?;
        Ok(html::page(self, &drawing))
    }

    /// Returns the first and the last time.
    fn range(&self) -> (Duration, Duration) {
        let first = self
            .history
            .iter()
            .next()
            .map_or(Duration::ZERO, |b| b.start);
        let last = self.history.iter().last().map_or(first, |b| b.end);
        (first, last)
    }

    /// Returns the peak and its time: the first bucket in which a sample, the high-water mark or the heap
    /// counter's peak reaches it.
    fn peak_at(&self) -> Option<(Duration, u64)> {
        let peak = self.peak?;
        let seen = [
            Metric::Rss,
            Metric::Heap,
            Metric::RssHighWater,
            Metric::HeapPeak,
        ];
        let bucket = self.history.iter().find(|bucket| {
            seen.iter().any(|metric| {
                bucket
                    .get(*metric)
                    .is_some_and(|stat| stat.max_bytes >= peak)
            })
        })?;
        Some((bucket.start + (bucket.end - bucket.start) / 2, peak))
    }
}
