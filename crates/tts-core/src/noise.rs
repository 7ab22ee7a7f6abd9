//! The sampler's noise.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Gaussian noise of one part of a text. Each part has its own, so that neither what others say nor
/// how many parts are spoken at once changes what it says; ChaCha gives the same numbers on every
/// platform.
#[derive(Clone, Debug)]
pub(crate) struct Noise {
    rng: ChaCha8Rng,
    std: f32,
    clamp: Option<f32>,
}

impl Noise {
    /// Noise of variance `temperature`, between `-clamp` and `clamp`, for a text's first part.
    #[cfg(test)]
    pub(crate) fn new(seed: u64, temperature: f32, clamp: Option<f32>) -> Self {
        Self::of_part(seed, 0, temperature, clamp)
    }

    /// Noise for a part of a text. ChaCha has as many independent streams of numbers for a seed as a
    /// text can have parts.
    pub(crate) fn of_part(seed: u64, part: u64, temperature: f32, clamp: Option<f32>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(part);
        Self {
            rng,
            std: temperature.sqrt(),
            clamp,
        }
    }

    /// The next `count` values.
    pub(crate) fn take(&mut self, count: usize) -> Vec<f32> {
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
        // The truncated normal distribution by rejection (Robert, 1995): from the normal where
        // most of it lies inside, else from the uniform, which is then nearly as flat.
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
        let values = Noise::new(1, 0.3, None).take(100_000);
        assert!((deviation(&values) - 0.3f32.sqrt()).abs() < 0.01);
    }

    #[test]
    fn temperature_zero_is_silent() {
        assert!(
            Noise::new(1, 0.0, Some(0.5))
                .take(100)
                .iter()
                .all(|x| *x == 0.0)
        );
    }

    #[test]
    fn same_seed_gives_the_same_noise_and_another_seed_another() {
        let take = |seed| Noise::new(seed, 1.0, None).take(32);
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }

    #[test]
    fn each_part_of_a_text_has_noise_of_its_own() {
        let take = |part| Noise::of_part(7, part, 1.0, None).take(32);
        assert_eq!(take(3), take(3));
        assert_ne!(take(0), take(1));
        assert_eq!(take(0), Noise::new(7, 1.0, None).take(32));
    }

    #[test]
    fn truncation_keeps_the_shape_of_the_distribution() {
        // Variances of the standard normal truncated at 2 and at 0.5 (closed form).
        for (clamp, variance) in [(2.0, 0.7737), (0.5, 0.0806)] {
            let values = Noise::new(3, 1.0, Some(clamp)).take(100_000);
            assert!(
                (deviation(&values).powi(2) - variance).abs() < 0.01,
                "{clamp}"
            );
        }
    }

    proptest! {
        #[test]
        fn clamped_noise_stays_inside(seed: u64, temperature in 0.0f32..4.0, clamp in 1e-6f32..4.0) {
            let values = Noise::new(seed, temperature, Some(clamp)).take(64);
            prop_assert!(values.iter().all(|x| x.abs() <= clamp));
        }
    }
}
