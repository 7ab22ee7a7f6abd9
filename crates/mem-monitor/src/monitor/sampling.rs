//! Taking samples.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    AtPeak, Shared,
    limits::{self, Configured, Limits},
    peak::Peaks,
};
use crate::{
    Alert, AlertRule, Event, History, Metric, Reading, Sample, Source,
    alert::{Armed, Situation},
    limit::Charged,
    lock,
    source::reset_high_water,
    trend::Trend,
};

/// Alerts fire once per crossing, so this is a long time.
const MAX_ALERTS: usize = 256;

/// State derived from the samples.
pub(super) struct State {
    pub(super) history: History,
    pub(super) alerts: VecDeque<Alert>,
    pub(super) latest: Option<Arc<Sample>>,
    peaks: Peaks,
    pub(super) rules: Vec<Armed>,
    usage_trend: Trend,
    pub(super) limits: Limits,
    sequence: u64,
}

impl State {
    pub(super) fn new(
        history: History,
        rules: &[AlertRule],
        trend_window: Duration,
        configured_limit: Configured,
    ) -> Self {
        Self {
            history,
            alerts: VecDeque::new(),
            latest: None,
            peaks: Peaks::default(),
            rules: rules.iter().copied().map(Armed::new).collect(),
            usage_trend: Trend::new(trend_window),
            limits: Limits::new(configured_limit, trend_window),
            sequence: 0,
        }
    }

    /// Adds a reading; returns the sample and the alerts that fired.
    fn add(
        &mut self,
        reading: Reading,
        elapsed: Duration,
        time: std::time::SystemTime,
    ) -> (Arc<Sample>, Vec<Alert>) {
        self.history.push(elapsed, &reading);
        self.peaks.observe(&reading);
        let limits = self.limits.charge(&reading, elapsed);
        if let Some(usage) = reading.usage_bytes() {
            self.usage_trend.push(elapsed, usage);
        }
        let growth = self.usage_trend.bytes_per_second();

        let situation = Situation {
            time,
            elapsed,
            reading: &reading,
            limits: &limits,
            growth_bytes_per_second: growth,
        };
        let raised: Vec<Alert> = self
            .rules
            .iter_mut()
            .filter_map(|rule| rule.check(&situation))
            .collect();
        self.alerts.extend(raised.iter().cloned());
        let excess = self.alerts.len().saturating_sub(MAX_ALERTS);
        self.alerts.drain(..excess);

        let sample = Arc::new(Sample {
            sequence: self.sequence,
            time,
            elapsed,
            usage_bytes: reading.usage_bytes(),
            peak_bytes: self.peaks.usage,
            rss_peak_bytes: self.peaks.rss,
            time_to_limit: limits.iter().filter_map(Charged::time_to_limit).min(),
            growth_bytes_per_second: growth,
            limit: limits::effective(&limits).cloned(),
            limits: limits.into_iter().map(|charged| charged.limit).collect(),
            reading,
        });
        self.sequence += 1;
        self.latest = Some(Arc::clone(&sample));
        (sample, raised)
    }
}

impl Shared {
    pub(crate) fn sample(&self) -> Arc<Sample> {
        let mut sources = lock(&self.sources);
        let reading = sources.read();
        let elapsed = self.elapsed();
        let time = self.time_of_day(elapsed);
        let (sample, alerts) = lock(&self.state).add(reading, elapsed, time);
        self.update_peak_breakdown(&sample.reading);
        #[cfg(feature = "tracing")]
        self.spans.observe(&sample.reading);
        self.publish(&Event::Sample(Arc::clone(&sample)));
        let alerts: Vec<Arc<Alert>> = alerts.into_iter().map(Arc::new).collect();
        for alert in &alerts {
            self.publish(&Event::Alert(Arc::clone(alert)));
        }
        // Callbacks may use the monitor, so they run without its locks.
        drop(sources);
        if !alerts.is_empty() {
            for callback in self.callbacks.all() {
                alerts.iter().for_each(|alert| callback.call(alert));
            }
        }
        sample
    }

    /// Stores a breakdown if usage is at a new peak.
    fn update_peak_breakdown(&self, reading: &Reading) {
        let now = reading.bytes(Metric::Heap).or(reading.usage_bytes());
        let mut at_peak = lock(&self.at_peak);
        let before = at_peak.as_ref().map(|at_peak| at_peak.bytes);
        if let Some(bytes) = now.filter(|_| now > before)
            && !self.categories.is_empty()
        {
            let breakdown = self.breakdown_of(reading);
            *at_peak = Some(AtPeak { bytes, breakdown });
        }
    }

    /// Returns the peaks after reading usage, high-water mark and heap counter again.
    pub(super) fn peaks_now(&self) -> Peaks {
        let _ordered = lock(&self.sources);
        let mut reading = Reading::default();
        reading.set_if_known(Metric::Rss, self.rss_now());
        reading.set_if_known(Metric::RssHighWater, self.high_water_now());
        if let Some(heap) = &self.heap {
            heap.read(&mut reading);
        }
        let mut state = lock(&self.state);
        state.peaks.observe(&reading);
        state.peaks.clone()
    }

    pub(super) fn reset(&self) {
        let mut sources = lock(&self.sources);
        reset_high_water(&self.root);
        if let Some(heap) = &self.heap {
            heap.reset_peak();
        }
        sources.expire();
        let mut state = lock(&self.state);
        state.history.clear();
        state.alerts.clear();
        state.latest = None;
        state.rules.iter_mut().for_each(Armed::reset);
        state.usage_trend.clear();
        state.limits.clear_trends();
        drop(state);
        *lock(&self.at_peak) = None;
        self.mark_baseline();
        #[cfg(feature = "tracing")]
        self.spans.clear();
    }

    /// Starts new peaks at the current values.
    pub(super) fn mark_baseline(&self) {
        let heap_peak = self.heap.as_ref().and_then(|heap| heap.peak());
        lock(&self.state).peaks = Peaks::since(self.high_water_now(), heap_peak);
    }
}
