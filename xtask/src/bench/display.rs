//! Formatting of measured values. A dash stands for a value that was not measured.

use bench_report::Spread;

const MISSING: &str = "-";

/// Formats a value.
pub(super) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| MISSING.to_owned(), |value| format!("{value:.decimals$}"))
}

/// Formats bytes as MiB, without the unit.
pub(super) fn mib(bytes: Option<f64>, decimals: usize) -> String {
    number(bytes.map(|bytes| bytes / f64::from(1 << 20)), decimals)
}

/// Formats the median, then minimum and maximum in brackets.
pub(super) fn spread(value: Option<Spread>) -> String {
    value.map_or_else(
        || MISSING.to_owned(),
        |Spread {
             median, min, max, ..
         }| format!("{median:.2} ({min:.2} - {max:.2})"),
    )
}

/// Formats one median divided by another.
pub(super) fn ratio(value: Option<Spread>, base: Option<Spread>) -> String {
    let ratio = value
        .zip(base)
        .filter(|(_, base)| base.median != 0.0)
        .map(|(value, base)| value.median / base.median);
    number(ratio, 2)
}
