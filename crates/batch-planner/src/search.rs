use std::ops::RangeInclusive;

/// Returns the greatest number in `range` for which `holds` is true. `holds` must be monotonic: true
/// up to some number and false above it. O(log of the range's length).
pub(crate) fn greatest(range: RangeInclusive<u64>, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = range.into_inner();
    if low > high || !holds(low) {
        return None;
    }
    // Invariant: `holds(low)` is true, and `holds` is false above `high`.
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_greatest_number_at_every_position() {
        for last in 3..=9 {
            assert_eq!(greatest(3..=9, |number| number <= last), Some(last));
        }
        assert_eq!(greatest(3..=9, |_| false), None);
        assert_eq!(
            greatest(RangeInclusive::new(9, 3), |_| true),
            None,
            "an empty range"
        );
        assert_eq!(greatest(0..=u64::MAX, |_| true), Some(u64::MAX));
    }
}
