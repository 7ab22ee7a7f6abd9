//! How numbers of bytes are written for people.

use std::fmt;

/// Displays a number of bytes in the largest binary unit it reaches, with one decimal.
pub(crate) struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let power = self.0.checked_ilog2().unwrap_or(0) as usize / 10;
        let text = match power.checked_sub(1) {
            None => format!("{} B", self.0),
            Some(unit) => {
                let value = self.0 as f64 / (1_u64 << (10 * power)) as f64;
                format!("{value:.1} {}", UNITS[unit])
            }
        };
        formatter.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_the_largest_unit_they_reach() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (500 << 20, "500.0 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
