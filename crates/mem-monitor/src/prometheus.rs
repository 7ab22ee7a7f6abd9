//! Prometheus text exposition format (version 0.0.4).

use std::{
    fmt::{Display, Write},
    ops::AddAssign,
};

#[cfg(feature = "tracing")]
use crate::SpanStats;
use crate::{DeviceReading, MemoryMonitor, Metric, Pressure};

/// Names and help texts of the metrics. Established names are used where they exist: those of Prometheus
/// client libraries (`process_`), node_exporter (`node_`) and cAdvisor (`container_`).
const GAUGES: [(Metric, &str, &str); 17] = [
    (
        Metric::Rss,
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
    ),
    (
        Metric::RssHighWater,
        "mem_monitor_resident_high_water_bytes",
        "The kernel's high-water mark of the resident set.",
    ),
    (
        Metric::RssAnon,
        "mem_monitor_resident_anonymous_bytes",
        "Resident anonymous pages: heap and stacks, as far as they were touched.",
    ),
    (
        Metric::RssFile,
        "mem_monitor_resident_file_bytes",
        "Resident pages of mapped files.",
    ),
    (
        Metric::Virtual,
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
    ),
    (
        Metric::Pss,
        "mem_monitor_proportional_set_bytes",
        "Proportional set size.",
    ),
    (
        Metric::Heap,
        "mem_monitor_heap_live_bytes",
        "Live heap bytes.",
    ),
    (
        Metric::HeapPeak,
        "mem_monitor_heap_peak_bytes",
        "Peak of live heap bytes, from the heap counter.",
    ),
    (
        Metric::AllocatorSlack,
        "mem_monitor_allocator_slack_bytes",
        "Bytes held by the allocator beyond the live bytes.",
    ),
    (
        Metric::Device,
        "mem_monitor_devices_in_use_bytes",
        "Bytes in use in all device pools.",
    ),
    (
        Metric::Counted,
        "mem_monitor_counted_bytes",
        "The total of the program's own accounting.",
    ),
    (
        Metric::CgroupCurrent,
        "container_memory_usage_bytes",
        "Current memory usage of the control group, page cache included.",
    ),
    (
        Metric::CgroupPeak,
        "container_memory_max_usage_bytes",
        "Maximum memory usage of the control group.",
    ),
    (
        Metric::CgroupMax,
        "container_spec_memory_limit_bytes",
        "Smallest memory limit of the control group and its ancestors.",
    ),
    (
        Metric::CgroupHigh,
        "mem_monitor_cgroup_high_bytes",
        "Smallest throttling limit of the control group and its ancestors.",
    ),
    (
        Metric::MachineTotal,
        "node_memory_MemTotal_bytes",
        "Physical memory of the machine.",
    ),
    (
        Metric::MachineAvailable,
        "node_memory_MemAvailable_bytes",
        "Memory available to programs without swapping.",
    ),
];

type DeviceValue = fn(&DeviceReading) -> Option<u64>;

const DEVICE_GAUGES: [(&str, &str, DeviceValue); 2] = [
    (
        "mem_monitor_device_in_use_bytes",
        "Bytes in use in a device pool.",
        |device| device.in_use_bytes,
    ),
    (
        "mem_monitor_device_reserved_bytes",
        "Bytes reserved on the device by a device pool.",
        |device| device.reserved_bytes,
    ),
];

impl MemoryMonitor {
    /// Returns the current figures in the Prometheus text format, for a `/metrics` page or the textfile
    /// collector of node_exporter. Takes a sample. Unknown values are left out. Categories, pools or rules
    /// with the same name are one series with their sum.
    ///
    /// Established names are used where they exist: `process_resident_memory_bytes`,
    /// `container_memory_usage_bytes`, `node_memory_MemAvailable_bytes`,
    /// `node_pressure_memory_waiting_seconds_total` and so on.
    ///
    /// ```
    /// let text = mem_monitor::MemoryMonitor::default().prometheus_text();
    /// # if cfg!(target_os = "linux") {
    /// assert!(text.contains("# TYPE process_resident_memory_bytes gauge\n"));
    /// # }
    /// ```
    pub fn prometheus_text(&self) -> String {
        let sample = self.sample();
        let reading = &sample.reading;
        let mut page = Page::default();
        for (metric, name, help) in GAUGES {
            page.family(name, "gauge", help, bytes(reading.bytes(metric)));
        }
        for (name, help, value) in DEVICE_GAUGES {
            let known = reading.devices.iter().filter_map(|device| {
                let label = ("device", device.name.to_string());
                Some(([label], i128::from(value(device)?)))
            });
            page.family(name, "gauge", help, known);
        }
        page.pressure("node", reading.pressure);
        page.pressure("container", reading.cgroup_pressure);
        page.family(
            "mem_monitor_peak_bytes",
            "gauge",
            "Peak usage of this process since the monitor was created or reset: of RSS, or of the live heap \
             if that was higher. The heap includes reserved bytes that were never touched.",
            bytes(sample.peak_bytes),
        );
        page.family(
            "mem_monitor_resident_peak_bytes",
            "gauge",
            "Peak of RSS since the monitor was created or reset.",
            bytes(sample.rss_peak_bytes),
        );
        page.family(
            "mem_monitor_limit_bytes",
            "gauge",
            "The effective limit: the one with the least headroom.",
            sample.limit.as_ref().map(|limit| {
                let label = ("origin", limit.origin.to_string());
                ([label], i128::from(limit.limit_bytes))
            }),
        );
        page.family(
            "mem_monitor_limit_used_bytes",
            "gauge",
            "Usage charged against the effective limit.",
            bytes(sample.limit.as_ref().and_then(|limit| limit.used_bytes)),
        );
        page.family(
            "mem_monitor_time_to_limit_seconds",
            "gauge",
            "Time until the limit is reached at the current growth.",
            sample.time_to_limit.map(|t| ([], t.as_secs_f64())),
        );
        let alerts = self.alert_counts().into_iter();
        page.family(
            "mem_monitor_alerts_total",
            "counter",
            "Alerts since the monitor was created or reset.",
            alerts.map(|(rule, count)| ([("rule", rule.to_string())], i128::from(count))),
        );
        page.family(
            "mem_monitor_failures",
            "gauge",
            "Sources and closures of the program that panicked and are not called any more.",
            [([], self.failures().len() as i128)],
        );
        let categories = self.breakdown_of(reading).rows;
        page.family(
            "mem_monitor_category_bytes",
            "gauge",
            "Memory by category, and the memory outside every category.",
            categories
                .into_iter()
                .filter_map(|row| Some(([("category", row.name)], i128::from(row.bytes?)))),
        );
        #[cfg(feature = "tracing")]
        page.all_spans(&self.span_stats());
        page.0
    }
}

#[derive(Default)]
struct Page(String);

/// Returns the sample of a family without labels.
fn bytes(value: Option<u64>) -> Option<([(&'static str, String); 0], i128)> {
    Some(([], i128::from(value?)))
}

impl Page {
    #[cfg(feature = "tracing")]
    fn all_spans(&mut self, spans: &[SpanStats]) {
        self.spans("calls_total", "counter", "Closed spans.", spans, |span| {
            Some(span.calls as f64)
        });
        self.spans(
            "seconds_total",
            "counter",
            "Time in closed spans.",
            spans,
            |span| Some(span.total_time.as_secs_f64()),
        );
        self.spans(
            "peak_bytes",
            "gauge",
            "Peak memory of a span.",
            spans,
            |span| span.peak_bytes.map(|b| b as f64),
        );
    }

    /// Writes a family with its samples; nothing if there are no samples. The format allows each set of
    /// labels once, so the values of equal sets are added.
    fn family<const N: usize, V: Display + AddAssign>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'static str, String); N], V)>,
    ) {
        let mut series: Vec<([(&'static str, String); N], V)> = Vec::new();
        for (labels, value) in samples {
            match series.iter_mut().find(|(other, _)| *other == labels) {
                Some((_, sum)) => *sum += value,
                None => series.push((labels, value)),
            }
        }
        if series.is_empty() {
            return;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in series {
            let labels: Vec<_> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escape(value)))
                .collect();
            let _ = match labels.is_empty() {
                true => writeln!(self.0, "{name} {value}"),
                false => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
            };
        }
    }

    fn pressure(&mut self, prefix: &str, pressure: Option<Pressure>) {
        let Some(pressure) = pressure else { return };
        for (stall, what, help) in [
            (
                pressure.some,
                "waiting",
                "Total time that tasks waited for memory.",
            ),
            (
                pressure.full,
                "stalled",
                "Total time that all runnable tasks waited for memory.",
            ),
        ] {
            self.family(
                &format!("{prefix}_pressure_memory_{what}_seconds_total"),
                "counter",
                help,
                stall.map(|stall| ([], stall.total.as_secs_f64())),
            );
        }
    }

    #[cfg(feature = "tracing")]
    fn spans(
        &mut self,
        what: &str,
        kind: &str,
        help: &str,
        spans: &[SpanStats],
        value: fn(&SpanStats) -> Option<f64>,
    ) {
        let labels = |span: &SpanStats| {
            [
                ("target", span.target.to_owned()),
                ("span", span.name.to_owned()),
            ]
        };
        self.family(
            &format!("mem_monitor_span_{what}"),
            kind,
            help,
            spans
                .iter()
                .filter_map(|span| Some((labels(span), value(span)?))),
        );
    }
}

/// Escapes a label value: backslash, quote and newline.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_own_family() {
        let mut names: Vec<_> = GAUGES.iter().map(|(_, name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            assert!(GAUGES.iter().any(|(m, ..)| *m == metric));
        }
    }

    #[test]
    fn label_values_are_escaped() {
        assert_eq!(escape("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
    }
}
