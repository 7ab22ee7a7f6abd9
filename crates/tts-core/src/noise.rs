//! Noise for sampling latents.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Gaussian noise for one segment of a text.
///
/// Every segment has its own ChaCha stream, so its audio does not depend on the batch size or on other
/// segments. ChaCha gives the same values on every platform.
#[derive(Clone, Debug)]
pub(crate) struct Noise {
    rng: ChaCha8Rng,
    std: f32,
    clamp: Option<f32>,
}

impl Noise {
    /// Noise of variance `temperature`, between `-clamp` and `clamp`, for the first segment.
    #[cfg(test)]
    pub(crate) fn new(seed: u64, temperature: f32, clamp: Option<f32>) -> Self {
        Self::for_segment(seed, 0, temperature, clamp)
    }

    /// Noise of variance `temperature`, between `-clamp` and `clamp`, for a segment. A seed has 2^64
    /// independent ChaCha streams.
    pub(crate) fn for_segment(
        seed: u64,
        segment: u64,
        temperature: f32,
        clamp: Option<f32>,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(segment);
        Self {
            rng,
            std: temperature.sqrt(),
            clamp,
        }
    }

    /// Returns the next `count` values.
    pub(crate) fn sample(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> f32 {
        if self.std == 0.0 {
            return 0.0;
        }
        let Some(clamp) = self.clamp else {
            let z: f32 = StandardNormal.sample(&mut self.rng);
            return z * self.std;
        };
        // The truncated normal distribution by rejection (Robert, 1995): from the normal distribution
        // if most of it is inside the bounds, else from the uniform one.
        if clamp >= self.std {
            loop {
                let z: f32 = StandardNormal.sample(&mut self.rng);
                let x = z * self.std;
                if x.abs() <= clamp {
                    return x;
                }
            }
        }
        loop {
            let x = self.rng.random_range(-clamp..=clamp);
            let z = x / self.std;
            if self.rng.random::<f32>() <= (-0.5 * z * z).exp() {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deviation(values: &[f32]) -> f32 {
        (values.iter().map(|x| x * x).sum::<f32>() / values.len() as f32).sqrt()
    }

    #[test]
    fn variance_is_the_temperature() {
        let values = Noise::new(1, 0.3, None).sample(100_000);
        assert!((deviation(&values) - 0.3f32.sqrt()).abs() < 0.01);
    }

    #[test]
    fn temperature_zero_gives_zeros() {
        assert!(
            Noise::new(1, 0.0, Some(0.5))
                .sample(100)
                .iter()
                .all(|x| *x == 0.0)
        );
    }

    #[test]
    fn noise_depends_on_the_seed_only() {
        let sample = |seed| Noise::new(seed, 1.0, None).sample(32);
        assert_eq!(sample(7), sample(7));
        assert_ne!(sample(7), sample(8));
    }

    #[test]
    fn segments_have_independent_noise() {
        let sample = |segment| Noise::for_segment(7, segment, 1.0, None).sample(32);
        assert_eq!(sample(3), sample(3));
        assert_ne!(sample(0), sample(1));
        assert_eq!(sample(0), Noise::new(7, 1.0, None).sample(32));
    }

    #[test]
    fn truncated_noise_has_the_variance_of_the_truncated_normal() {
        // Variances of the standard normal truncated at 2 and at 0.5 (closed form).
        for (clamp, variance) in [(2.0, 0.7737), (0.5, 0.0806)] {
            let values = Noise::new(3, 1.0, Some(clamp)).sample(100_000);
            assert!(
                (deviation(&values).powi(2) - variance).abs() < 0.01,
                "{clamp}"
            );
        }
    }

    proptest! {
        #[test]
        fn clamped_noise_stays_within_bounds(seed: u64, temperature in 0.0f32..4.0, clamp in 1e-6f32..4.0) {
            let values = Noise::new(seed, temperature, Some(clamp)).sample(64);
            prop_assert!(values.iter().all(|x| x.abs() <= clamp));
        }
    }
}
