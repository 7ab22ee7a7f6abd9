//! Units and ticks of the two axes.

/// A unit of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    /// Its size in bytes or seconds.
    pub(super) size: f64,
}

const fn unit(name: &'static str, size: f64) -> Unit {
    Unit { name, size }
}

const BYTES: [Unit; 5] = [
    unit("TiB", 1_099_511_627_776.0),
    unit("GiB", 1_073_741_824.0),
    unit("MiB", 1_048_576.0),
    unit("KiB", 1024.0),
    unit("B", 1.0),
];

const SECONDS: [Unit; 5] = [
    unit("days", 86_400.0),
    unit("h", 3600.0),
    unit("min", 60.0),
    unit("s", 1.0),
    unit("ms", 0.001),
];

/// Returns the largest unit in which `max` is at least 1, or the smallest unit.
fn fitting(units: &[Unit], max: f64) -> Unit {
    *units
        .iter()
        .find(|unit| max >= unit.size)
        .unwrap_or(&units[units.len() - 1])
}

/// Returns the unit for bytes up to `max`.
pub(super) fn bytes(max: f64) -> Unit {
    fitting(&BYTES, max)
}

/// Returns the unit for seconds up to `max`.
pub(super) fn seconds(max: f64) -> Unit {
    fitting(&SECONDS, max)
}

/// A tick with its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// Returns about `count` ticks from `from` to `to` at multiples of 1, 2 or 5 times a power of ten of a
/// unit; none if the range is empty.
pub(super) fn ticks(from: f64, to: f64, unit: Unit, count: usize) -> Vec<Tick> {
    let (from, to) = (from / unit.size, to / unit.size);
    let min_spacing = (to - from) / count.max(1) as f64;
    if !(min_spacing.is_finite() && min_spacing > 0.0) {
        return Vec::new();
    }
    let power = 10f64.powf(min_spacing.log10().floor());
    let spacing = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        // Tolerates rounding.
        .find(|spacing| *spacing >= min_spacing * (1.0 - 1e-9))
        .unwrap_or(10.0 * power);
    let decimals = (-spacing.log10().floor()).max(0.0) as usize;
    let first = (from / spacing - 1e-6).ceil() as i64;
    let last = (to / spacing + 1e-6).floor() as i64;
    (first..=last)
        .map(|i| {
            let value = i as f64 * spacing;
            Tick {
                value: value * unit.size,
                label: format!("{value:.decimals$}"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round_multiples_of_the_unit() {
        let mib = bytes(530.0 * 1_048_576.0);
        assert_eq!(mib.name, "MiB");
        let labels: Vec<_> = ticks(0.0, 530.0 * mib.size, mib, 6)
            .into_iter()
            .map(|t| t.label)
            .collect();
        assert_eq!(labels, ["0", "100", "200", "300", "400", "500"]);
        let s = seconds(2.4);
        let labels: Vec<_> = ticks(0.0, 2.4, s, 10)
            .into_iter()
            .map(|t| t.label)
            .collect();
        assert_eq!(labels, ["0.0", "0.5", "1.0", "1.5", "2.0"]);
    }

    #[test]
    fn units_fit_the_maximum() {
        assert_eq!(bytes(0.0).name, "B");
        assert_eq!(bytes(0.9 * 1024.0 * 1024.0).name, "KiB");
        assert_eq!(seconds(0.5).name, "ms");
        assert_eq!(seconds(604_800.0).name, "days");
    }

    #[test]
    fn empty_range_has_no_ticks() {
        assert!(ticks(3.0, 3.0, seconds(1.0), 5).is_empty());
        assert!(ticks(0.0, f64::NAN, seconds(1.0), 5).is_empty());
    }

    proptest! {
        #[test]
        fn ticks_are_in_range_few_and_distinct(
            from in 0.0f64..1e6, width in 1e-3f64..1e13, count in 2usize..20,
        ) {
            let to = from + width;
            let ticks = ticks(from, to, bytes(to), count);
            prop_assert!(ticks.len() <= count + 1);
            let slack = width * 1e-4 + 1e-6;
            for tick in &ticks {
                prop_assert!(tick.value >= from - slack && tick.value <= to + slack);
            }
            for pair in ticks.windows(2) {
                prop_assert!(pair[0].label != pair[1].label);
            }
        }
    }
}
