use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The unit of a share is a millionth: finer than any realistic margin. Integers keep the arithmetic
/// exact.
const WHOLE: u32 = 1_000_000;

/// A fraction of at least 0 and below 1, in millionths.
///
/// ```
/// use batch_planner::Share;
///
/// const MARGIN: Share = Share::percent::<10>();
/// assert_eq!(MARGIN, Share::new(0.1)?);
/// assert_eq!(MARGIN.to_string(), "10 %");
/// assert!(Share::new(1.0).is_err());
/// assert!(Share::new(f64::NAN).is_err());
/// # Ok::<(), batch_planner::Error>(())
/// ```
///
/// Serde represents a share as a number between 0 and 1, which is validated when it is read.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(u32);

impl Share {
    /// The share 0.
    pub const NONE: Self = Self(0);

    /// Returns the share `value`, rounded to the nearest millionth.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidShare`] unless the value is at least 0 and, after rounding, below 1.
    pub fn new(value: f64) -> Result<Self> {
        let millionths = (value * f64::from(WHOLE)).round();
        if value >= 0.0 && millionths < f64::from(WHOLE) {
            Ok(Self(millionths as u32))
        } else {
            Err(Error::InvalidShare { found: value })
        }
    }

    /// Returns the share of `PERCENT` hundredths. A constant of 100 or more does not compile. For a
    /// value that is only known at run time, use [`Share::new`].
    ///
    /// ```compile_fail
    /// let _ = batch_planner::Share::percent::<100>();
    /// ```
    pub const fn percent<const PERCENT: u32>() -> Self {
        const { assert!(PERCENT < 100, "a share is below 100 %") }
        Self(WHOLE / 100 * PERCENT)
    }

    /// Returns the share as a number between 0 and 1.
    pub fn value(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// Returns `whole` minus this share of it, rounded up.
    pub(crate) fn rest_of(self, whole: u64) -> u64 {
        let rest = u128::from(whole) * u128::from(WHOLE - self.0) / u128::from(WHOLE);
        // The cast is lossless: the rest is at most `whole`, which is a `u64`.
        rest as u64
    }

    /// Returns the smallest whole whose [`rest_of`](Self::rest_of) is at least `rest`; `None` above
    /// `u64::MAX`.
    pub(crate) fn whole_leaving(self, rest: u64) -> Option<u64> {
        let whole = (u128::from(rest) * u128::from(WHOLE)).div_ceil(u128::from(WHOLE - self.0));
        u64::try_from(whole).ok()
    }
}

impl TryFrom<f64> for Share {
    type Error = Error;

    fn try_from(value: f64) -> Result<Self> {
        Self::new(value)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.value()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} %",
            f64::from(self.0) / f64::from(WHOLE / 100)
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn whole_leaving_returns_the_smallest_whole(millionths in 0..WHOLE, rest in 0..u64::MAX / 2) {
            let share = Share(millionths);
            if let Some(whole) = share.whole_leaving(rest) {
                prop_assert!(share.rest_of(whole) >= rest);
                prop_assert!(whole == 0 || share.rest_of(whole - 1) < rest);
            }
        }

        #[test]
        fn rest_grows_with_the_whole(millionths in 0..WHOLE, whole in 0..u64::MAX) {
            prop_assert!(Share(millionths).rest_of(whole) <= Share(millionths).rest_of(whole + 1));
            prop_assert!(Share(millionths).rest_of(whole) <= whole);
        }

        #[test]
        fn round_trips_through_json(millionths in 0..WHOLE) {
            let json = serde_json::to_string(&Share(millionths)).expect("serialisable");
            prop_assert_eq!(serde_json::from_str::<Share>(&json).expect("valid JSON"), Share(millionths));
        }
    }

    #[test]
    fn rejects_shares_outside_the_range() {
        for wrong in [-0.1, 1.0, 0.999_999_9, f64::NAN, f64::INFINITY] {
            assert!(Share::new(wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Share>("1.5").is_err());
    }
}
