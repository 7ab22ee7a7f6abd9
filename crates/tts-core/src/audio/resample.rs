//! Sample rate conversion.
//!
//! The rates are integers, so one period of the conversion has `up` distinct phases of the filter.
//! With exactly that many stored phases, `rubato`'s windowed-sinc resampler never interpolates between
//! filters, and its delay can be made a whole number of output samples, which are then dropped.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

/// Length of the filter, in samples of the lower of the two rates.
///
/// The reference's filter (scipy's `resample_poly`: 20 samples, Kaiser window with beta 5) attenuates
/// to -22.6 dB from 10 %, -43.5 dB from 15 % and -55.2 dB from 20 % above the lower Nyquist frequency.
/// A Blackman window needs 32 samples to stay below that everywhere: -28.4, -55.1 and -75.3 dB. A
/// longer filter would be steeper than the reference's, and less similar to it.
const SINC_LEN: usize = 32;

/// See [`SINC_LEN`].
const WINDOW: WindowFunction = WindowFunction::Blackman;

/// The -6 dB point relative to the lower Nyquist frequency; as in the reference.
const CUTOFF: f32 = 1.0;

/// Output samples per call. The value does not affect the result; this one fits the buffers in the
/// cache.
const CHUNK: usize = 1024;

/// Converts samples at `from_hz` to `ceil(samples.len() * to_hz / from_hz)` samples at `to_hz`.
///
/// Both rates are in [`SAMPLE_RATES_HZ`](super::SAMPLE_RATES_HZ), which bounds the filter to 50 MiB.
pub(super) fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    let divisor = greatest_common_divisor(from_hz, to_hz);
    let up = (to_hz / divisor) as usize;
    let down = (from_hz / divisor) as usize;
    let out_len = (samples.len() * up).div_ceil(down);

    // rubato counts the filter in input samples, and in multiples of 8.
    let sinc_len = (SINC_LEN * up.max(down)).div_ceil(up).next_multiple_of(8);
    let parameters = SincInterpolationParameters::new(sinc_len, WINDOW)
        .f_cutoff(CUTOFF)
        .oversampling_factor(up)
        .interpolation(SincInterpolationType::Nearest);
    let ratio = f64::from(to_hz) / f64::from(from_hz);
    // The filter is normalized by a sum over all its phases: too many terms for f32.
    let mut resampler =
        Async::<f64>::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Output)
            .expect("the ratio is positive and finite, and the chunk is not empty");

    let Delay { lead, skip } = Delay::new(up, down, sinc_len);
    // The input of the resampler: `lead` zeros, the samples, and zeros.
    let mut input = std::iter::repeat_n(0.0, lead)
        .chain(samples.iter().map(|&sample| f64::from(sample)))
        .chain(std::iter::repeat(0.0));
    let mut block = Vec::with_capacity(resampler.input_frames_max());
    let mut resampled = Vec::with_capacity(out_len);
    let mut to_skip = skip;
    while resampled.len() < out_len {
        block.clear();
        block.extend(input.by_ref().take(resampler.input_frames_next()));
        let adapter = InterleavedSlice::new(&block, 1, block.len())
            .expect("one channel of as many frames as there are samples");
        let output = resampler
            .process(&adapter, None)
            .expect("one channel in, one out, as many frames as were asked for")
            .take_data();
        let skipped = to_skip.min(output.len());
        to_skip -= skipped;
        resampled.extend(
            output[skipped..]
                .iter()
                .take(out_len - resampled.len())
                .map(|&sample| sample as f32),
        );
    }
    resampled
}

/// Compensation of the resampler's delay.
struct Delay {
    /// Zeros before the input.
    lead: usize,
    /// Output samples to drop.
    skip: usize,
}

impl Delay {
    /// With `up` stored phases, output `j` of rubato is at `((j + 1) * down + 1) / up - sinc_len / 2` on
    /// the time axis of its input: the filters are shifted by one phase and the clock by one increment.
    /// `lead` is the smallest value for which an output is exactly at `lead`, the first sample.
    fn new(up: usize, down: usize, sinc_len: usize) -> Self {
        let mut end = sinc_len / 2;
        // `up` and `down` have no common divisor, so one of `down` consecutive numbers fits. Half a
        // filter is longer than an increment, so `skip` is not negative.
        while !(up * end - 1).is_multiple_of(down) {
            end += 1;
        }
        Self {
            lead: end - sinc_len / 2,
            skip: (up * end - 1) / down - 1,
        }
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f64::consts::TAU;

    /// Returns the ratio of the energies of `expected` and the difference, in dB.
    fn snr_db(expected: &[f32], found: &[f32]) -> f64 {
        assert_eq!(expected.len(), found.len());
        let energy = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let signal = energy(&mut expected.iter().map(|&v| f64::from(v)));
        let noise = energy(
            &mut expected
                .iter()
                .zip(found)
                .map(|(&a, &b)| f64::from(a) - f64::from(b)),
        );
        10.0 * (signal / noise).log10()
    }

    fn sine(frequency_hz: f64, rate_hz: u32, len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| (TAU * frequency_hz * i as f64 / f64::from(rate_hz)).sin() as f32)
            .collect()
    }

    const RATES: [u32; 8] = [
        8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000,
    ];

    #[test]
    fn preserves_sines_below_the_cutoff_between_common_rates() {
        for from in RATES {
            for to in [16_000, 24_000] {
                for share in [0.02, 0.31, 0.75] {
                    let frequency = share * f64::from(from.min(to)) / 2.0;
                    let len = from as usize / 5;
                    let found = resample(&sine(frequency, from, len), from, to);
                    assert_eq!(found.len(), (len * to as usize).div_ceil(from as usize));
                    let expected = sine(frequency, to, found.len());
                    // The signal starts and stops abruptly, so its ends are not a pure sine.
                    let edge = 2 * SINC_LEN * to.max(from) as usize / from as usize;
                    let inner = edge..found.len() - edge;
                    let snr = snr_db(&expected[inner.clone()], &found[inner]);
                    assert!(
                        snr > 60.0,
                        "{from} -> {to} Hz at {frequency} Hz: {snr:.1} dB"
                    );
                }
            }
        }
    }

    #[test]
    fn removes_frequencies_above_the_lower_nyquist_frequency() {
        for (from, to) in [(48_000, 24_000), (44_100, 16_000), (96_000, 24_000)] {
            let frequency = 1.2 * f64::from(to) / 2.0;
            let found = resample(&sine(frequency, from, from as usize / 5), from, to);
            let inner = &found[2 * SINC_LEN..found.len() - 2 * SINC_LEN];
            let peak = inner.iter().fold(0.0f32, |peak, v| peak.max(v.abs()));
            assert!(peak < 1e-3, "{from} -> {to} Hz has a peak of {peak}");
        }
    }

    #[test]
    fn resamples_zero_and_one_samples() {
        assert!(resample(&[], 16_000, 24_000).is_empty());
        assert_eq!(resample(&[1.0], 16_000, 24_000).len(), 2);
        assert_eq!(resample(&[1.0], 48_000, 24_000).len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn any_pair_of_rates_yields_the_exact_length_and_preserves_a_slow_sine(
            from in 1_000u32..=48_000,
            to in 1_000u32..=48_000,
        ) {
            let frequency = f64::from(from.min(to)) / 20.0;
            // 200 periods of the lower rate.
            let len = from as usize * 200 / from.min(to) as usize;
            let found = resample(&sine(frequency, from, len), from, to);
            prop_assert_eq!(found.len(), (len * to as usize).div_ceil(from as usize));
            let expected = sine(frequency, to, found.len());
            let edge = found.len() / 4;
            let inner = edge..found.len() - edge;
            let snr = snr_db(&expected[inner.clone()], &found[inner]);
            prop_assert!(snr > 55.0, "{} dB", snr);
        }
    }
}
