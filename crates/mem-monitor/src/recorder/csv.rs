//! Comma-separated values.

use std::io::{self, Write};

use crate::{Metric, Sample, serialize::unix_seconds};

/// Columns before those of the metrics.
const FIRST: &str = "time_unix_seconds,elapsed_seconds,usage_bytes,peak_bytes,rss_peak_bytes,limit_bytes,limit_used_bytes";
/// Columns after them.
const LAST: &str = "pressure_some_avg10_percent,pressure_full_avg10_percent,\
                    cgroup_pressure_some_avg10_percent,cgroup_pressure_full_avg10_percent";

pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
    let metrics = Metric::ALL.map(Metric::name).join(",");
    writeln!(out, "{FIRST},{metrics},{LAST}")
}

pub(super) fn sample(out: &mut impl Write, sample: &Sample) -> io::Result<()> {
    let limit = sample.limit.as_ref();
    let time = unix_seconds(sample.time);
    write!(out, "{time:.4},{:.4}", sample.elapsed.as_secs_f64())?;
    let own = [
        sample.usage_bytes,
        sample.peak_bytes,
        sample.rss_peak_bytes,
        limit.map(|limit| limit.limit_bytes),
        limit.and_then(|limit| limit.used_bytes),
    ];
    let metrics = Metric::ALL.map(|metric| sample.reading.bytes(metric));
    for bytes in own.into_iter().chain(metrics) {
        match bytes {
            Some(bytes) => write!(out, ",{bytes}")?,
            None => write!(out, ",")?,
        }
    }
    for pressure in [sample.reading.pressure, sample.reading.cgroup_pressure] {
        let pressure = pressure.unwrap_or_default();
        for stall in [pressure.some, pressure.full] {
            match stall {
                Some(stall) => write!(out, ",{}", stall.avg10_percent)?,
                None => write!(out, ",")?,
            }
        }
    }
    writeln!(out)
}
