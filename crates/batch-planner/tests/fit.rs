//! Fitting a memory model to measurements.

use std::num::NonZeroU64;

use batch_planner::{
    BatchSizeOptimizer, Error, Fit, FitError, FitOptions, LimitedBy, MemoryModel, Sample, Share,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// A grid of measurements.
fn measured(bytes: impl Fn(u64, u64) -> u64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for batch_size in [1, 2, 4, 8] {
        for sequence_length in [50, 100, 400, 1000] {
            samples.push(Sample {
                batch_size,
                sequence_length,
                bytes: bytes(batch_size, sequence_length),
            });
        }
    }
    samples
}

fn fit(samples: &[Sample]) -> Result<Fit, Error> {
    MemoryModel::fit(samples, &FitOptions::default())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn recovers_a_linear_model_exactly(
        fixed in 1..4_000_000_000_u64,
        per_item in 0..100_000_000_u64,
        per_position in 0..1_000_000_u64,
        page in 1..100_u64,
    ) {
        let page_positions = NonZeroU64::new(page).expect("above 0");
        let truth = |batch: u64, length: u64| {
            fixed + batch * (per_item + per_position * length.div_ceil(page) * page)
        };
        let options = FitOptions { page_positions, ..FitOptions::default() };
        let fit = MemoryModel::fit(&measured(truth), &options).expect("linear samples");
        prop_assert_eq!(fit.residual_bytes, 0);
        for (batch, length) in [(1, 50), (3, 77), (8, 1000)] {
            prop_assert_eq!(fit.model.bytes(batch, length), Ok(truth(batch, length)));
        }
    }

    #[test]
    fn fit_is_not_below_any_sample(
        noise in proptest::collection::vec(-30_000_i64..30_000, 16),
    ) {
        let mut samples = measured(|batch, length| 2_000_000 + batch * (10_000 + 300 * length));
        for (sample, noise) in samples.iter_mut().zip(noise) {
            sample.bytes = sample.bytes.saturating_add_signed(noise);
        }
        let fit = fit(&samples).expect("within 5 %");
        prop_assert_eq!(fit.residuals.len(), samples.len());
        for (sample, residual) in samples.iter().zip(&fit.residuals) {
            let bytes = fit.model.bytes(sample.batch_size, sample.sequence_length).expect("inside");
            prop_assert!(bytes >= sample.bytes);
            prop_assert_eq!(bytes, residual.fitted_bytes + fit.residual_bytes);
            prop_assert!(residual.share() <= fit.worst_share);
        }
    }

    #[test]
    fn never_panics_on_any_samples(
        samples in proptest::collection::vec((0..5_u64, any::<u64>(), any::<u64>()), 0..8),
        page: NonZeroU64,
    ) {
        let samples: Vec<Sample> = samples
            .into_iter()
            .map(|(batch_size, sequence_length, bytes)| Sample { batch_size, sequence_length, bytes })
            .collect();
        let options = FitOptions { page_positions: page, ..FitOptions::default() };
        let _ = MemoryModel::fit(&samples, &options);
        let _ = fit(&samples);
    }
}

#[test]
fn coefficients_are_non_negative() {
    // Memory decreases with the batch size, so the best non-negative fit is constant.
    let samples = measured(|batch, _| 1_000_000 - batch * 1000);
    let fit = fit(&samples).expect("within 5 %");
    assert_eq!(fit.model.terms()[1].bytes_per_item, 0);
    assert_eq!(fit.model.terms()[2].bytes_per_item_position, 0);
}

#[test]
fn rejects_quadratic_memory() {
    let samples = measured(|batch, length| 1_000_000 + batch * length * length);
    let error = fit(&samples).expect_err("quadratic samples");
    let Error::Fit(FitError::NotLinear { worst, allowed, .. }) = error else {
        panic!("{error}");
    };
    assert!(worst > allowed.value());

    // Accepted if `max_residual` allows the deviation.
    let options = FitOptions {
        max_residual: Share::new(worst + 1e-5).unwrap_or(Share::percent::<99>()),
        ..FitOptions::default()
    };
    let allowed = MemoryModel::fit(&samples, &options);
    assert_eq!(allowed.is_ok(), worst < 0.99);
}

#[test]
fn rejects_too_few_and_degenerate_samples() {
    let samples = measured(|batch, length| 1000 + batch * length);
    let error = fit(&samples[..3]).expect_err("three samples");
    assert_eq!(
        error,
        Error::Fit(FitError::TooFewSamples {
            found: 3,
            needed: 4
        })
    );
    assert_eq!(
        fit(&[]),
        Err(Error::Fit(FitError::TooFewSamples {
            found: 0,
            needed: 4
        }))
    );
    assert_eq!(
        fit(&[samples[0]; 9]),
        Err(Error::Fit(FitError::TooFewSamples {
            found: 1,
            needed: 4
        })),
        "equal samples count once"
    );

    // One batch size; one length.
    let error = fit(&samples[..4]).expect_err("one batch size");
    assert_eq!(
        error,
        Error::Fit(FitError::DegenerateSamples {
            batch_sizes: 1,
            sequence_lengths: 4
        })
    );
    let one_length: Vec<Sample> = samples.iter().copied().step_by(4).collect();
    let error = fit(&one_length).expect_err("one length");
    assert_eq!(
        error,
        Error::Fit(FitError::DegenerateSamples {
            batch_sizes: 4,
            sequence_lengths: 1
        })
    );
}

#[test]
fn rejects_a_sample_of_0_bytes() {
    let mut samples = measured(|batch, length| 1000 + batch * length);
    samples[5].bytes = 0;
    assert!(matches!(
        fit(&samples),
        Err(Error::Fit(FitError::EmptySample {
            batch_size: 2,
            sequence_length: 100
        }))
    ));
}

#[test]
fn rejects_batches_outside_the_measured_range() {
    let fit = fit(&measured(|batch, length| 1_000_000 + batch * length * 10)).expect("linear");
    for (batch, length) in [(0, 100), (9, 100), (4, 49), (4, 1001)] {
        let error = fit.model.bytes(batch, length).expect_err("outside");
        assert!(matches!(error, Error::OutOfRange { .. }));
        assert!(
            error
                .to_string()
                .contains("batch sizes 1 to 8, lengths 50 to 1000"),
            "{error}"
        );
    }
}

#[test]
fn optimizer_stays_inside_the_measured_range() {
    let fit = fit(&measured(|batch, length| 1_000_000 + batch * length * 10)).expect("linear");
    let optimizer = BatchSizeOptimizer::new(1 << 40, fit.model);
    let answer = optimizer.get_optimal_batch_size(100).expect("it fits");
    assert_eq!(
        (answer.batch_size, answer.limited_by),
        (8, LimitedBy::MeasuredRange)
    );
    let outside = optimizer.get_optimal_batch_size(2000);
    assert!(matches!(outside, Err(Error::OutOfRange { .. })));
}

#[test]
fn fit_round_trips_through_json() {
    let fit = fit(&measured(|batch, length| 1_000_000 + batch * length * 10)).expect("linear");
    let json = serde_json::to_string(&fit).expect("serialisable");
    assert_eq!(serde_json::from_str::<Fit>(&json).expect("valid JSON"), fit);
}
