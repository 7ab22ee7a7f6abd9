//! Sample rate conversion.
//!
//! The rates are integers, so one period of the conversion has `up` distinct phases of the filter.
//! With exactly that many stored phases, `rubato`'s windowed-sinc resampler never interpolates between
//! filters, and its delay can be made a whole number of output samples, which are then dropped.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType,
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

/// The sizes of a conversion between two sample rates.
///
/// Both rates are in [`SAMPLE_RATES_HZ`](super::SAMPLE_RATES_HZ), which bounds the filter to 50 MiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversion {
    from_hz: u32,
    to_hz: u32,
    /// Output samples of a period.
    up: usize,
    /// Input samples of a period.
    down: usize,
    /// Length of the filter, in input samples.
    sinc_len: usize,
}

impl Conversion {
    pub(super) fn new(from_hz: u32, to_hz: u32) -> Self {
        let divisor = greatest_common_divisor(from_hz, to_hz);
        let up = (to_hz / divisor) as usize;
        let down = (from_hz / divisor) as usize;
        Self {
            from_hz,
            to_hz,
            up,
            down,
            // rubato counts the filter in input samples, and in multiples of 8.
            sinc_len: (SINC_LEN * up.max(down)).div_ceil(up).next_multiple_of(8),
        }
    }

    /// Output samples for `samples` input samples.
    pub(super) fn output_len(&self, samples: usize) -> usize {
        (samples as u128 * self.up as u128).div_ceil(self.down as u128) as usize
    }

    /// Bytes that the resampler retains: the filter, its table of phases, and its blocks.
    pub(super) fn bytes(&self) -> usize {
        let block = CHUNK * self.down / self.up + self.sinc_len;
        // rubato's own block has room for two more filters.
        let blocks = 2 * block + 2 * self.sinc_len + CHUNK;
        (self.filter_len() + blocks) * size_of::<f64>() + self.up * PHASE_BYTES
    }

    /// Bytes that creating the resampler takes at its peak: the window, the filter, and the phases.
    pub(super) fn creation_bytes(&self) -> usize {
        3 * self.filter_len() * size_of::<f64>() + self.up * 2 * PHASE_BYTES
    }

    fn filter_len(&self) -> usize {
        self.sinc_len * self.up
    }
}

/// Bytes of a phase's entry in rubato's tables.
const PHASE_BYTES: usize = size_of::<Vec<f64>>();

/// Converts the sample rate of audio that arrives in blocks of any size. The output does not depend on
/// the blocks.
pub(super) struct Resampler {
    conversion: Conversion,
    inner: Async<f64>,
    /// The input of the next call.
    block: Vec<f64>,
    /// Output samples to drop.
    to_skip: usize,
    /// Input samples so far.
    consumed: usize,
    /// Output samples so far.
    produced: usize,
}

impl Resampler {
    pub(super) fn new(conversion: Conversion) -> Self {
        let Conversion {
            from_hz,
            to_hz,
            up,
            down,
            sinc_len,
        } = conversion;
        let parameters = SincInterpolationParameters::new(sinc_len, WINDOW)
            .f_cutoff(CUTOFF)
            .oversampling_factor(up)
            .interpolation(SincInterpolationType::Nearest);
        let ratio = f64::from(to_hz) / f64::from(from_hz);
        // The filter is normalized by a sum over all its phases: too many terms for f32.
        let inner = Async::<f64>::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Output)
            .expect("the ratio is positive and finite, and the chunk is not empty");
        let Delay { lead, skip } = Delay::new(up, down, sinc_len);
        let block = Vec::with_capacity(inner.input_frames_max());
        let mut resampler = Self {
            conversion,
            inner,
            block,
            to_skip: skip,
            consumed: 0,
            produced: 0,
        };
        // The input of the resampler: `lead` zeros, the samples, and zeros. All output before the
        // first sample is dropped.
        resampler.feed(std::iter::repeat_n(0.0, lead), &mut Vec::new());
        resampler
    }

    /// Converts the next samples, and appends what is complete to `out`.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.consumed += samples.len();
        self.feed(samples.iter().map(|&sample| f64::from(sample)), out);
    }

    fn feed(&mut self, mut samples: impl ExactSizeIterator<Item = f64>, out: &mut Vec<f32>) {
        while samples.len() > 0 {
            let missing = self.inner.input_frames_next() - self.block.len();
            let is_complete = samples.len() >= missing;
            self.block.extend(samples.by_ref().take(missing));
            if is_complete {
                self.process(usize::MAX, out);
            }
        }
    }

    /// Appends the rest of the output.
    pub(super) fn finish(mut self, out: &mut Vec<f32>) {
        let len = self.conversion.output_len(self.consumed);
        while self.produced < len {
            self.block.resize(self.inner.input_frames_next(), 0.0);
            self.process(len, out);
        }
    }

    /// Converts the block. The output ends at `len` samples.
    fn process(&mut self, len: usize, out: &mut Vec<f32>) {
        let adapter = InterleavedSlice::new(&self.block, 1, self.block.len())
            .expect("one channel of as many frames as there are samples");
        let output = self
            .inner
            .process(&adapter, None)
            .expect("one channel in, one out, as many frames as were asked for")
            .take_data();
        self.block.clear();
        let skipped = self.to_skip.min(output.len());
        self.to_skip -= skipped;
        let new = &output[skipped..];
        let new = &new[..new.len().min(len - self.produced)];
        self.produced += new.len();
        out.extend(new.iter().map(|&sample| sample as f32));
    }
}

/// Converts samples at `from_hz` to `ceil(samples.len() * to_hz / from_hz)` samples at `to_hz`.
pub(super) fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    let conversion = Conversion::new(from_hz, to_hz);
    let mut resampler = Resampler::new(conversion);
    let mut resampled = Vec::with_capacity(conversion.output_len(samples.len()));
    resampler.push(samples, &mut resampled);
    resampler.finish(&mut resampled);
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

    #[test]
    fn output_does_not_depend_on_the_blocks() {
        // With 47,999 Hz, the zeros before the first sample take several calls.
        for from in [8_000, 44_100, 47_999, 48_000] {
            let samples = sine(200.0, from, 3 * from as usize / 10);
            let expected = resample(&samples, from, 24_000);
            for block in [1, 7, 1_152, 5_000] {
                let mut resampler = Resampler::new(Conversion::new(from, 24_000));
                let mut found = Vec::new();
                for block in samples.chunks(block) {
                    resampler.push(block, &mut found);
                }
                resampler.finish(&mut found);
                assert!(found == expected, "{from} Hz in blocks of {block}");
            }
        }
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
