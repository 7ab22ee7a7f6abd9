//! The largest batch that fits, and the changes that would help if none fits.

use std::num::NonZeroU64;

use batch_planner::{
    BatchSize, BatchSizeOptimizer, DEFAULT_MODEL_SIZE_MB, Error, Infeasible, LimitedBy, MIB,
    MemoryModel, Share, Term, WayOut,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Random models with a fixed term and a term that grows with the batch.
fn models() -> impl Strategy<Value = MemoryModel> {
    (0..50_000_u64, 1..5000_u64, 0..200_u64, 1..40_u64).prop_map(|(fixed, item, position, page)| {
        let page = NonZeroU64::new(page).expect("above 0");
        MemoryModel::new()
            .with(Term::new("fixed").fixed(fixed))
            .with(
                Term::new("growing")
                    .per_item(item)
                    .per_item_position(position)
                    .paged(page),
            )
    })
}

fn shares() -> impl Strategy<Value = Share> {
    (0..100_u32).prop_map(|percent| Share::new(f64::from(percent) / 100.0).expect("below 1"))
}

/// Returns the optimal batch size, or 0 if the floor does not fit.
fn size(optimizer: &BatchSizeOptimizer, length: u64) -> u64 {
    match optimizer.get_optimal_batch_size(length) {
        Ok(answer) => answer.batch_size,
        Err(Error::Infeasible(_)) => 0,
        Err(error) => panic!("{error}"),
    }
}

/// Returns the details of an infeasible batch.
fn infeasible(optimizer: &BatchSizeOptimizer, length: u64) -> Infeasible {
    match optimizer.get_optimal_batch_size(length) {
        Err(Error::Infeasible(why)) => *why,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn optimal_batch_fits_and_one_more_item_does_not(
        model in models(), margin in shares(), limit in 0..1_000_000_u64, length in 0..300_u64,
    ) {
        let optimizer = BatchSizeOptimizer::new(limit, model.clone()).with_margin(margin);
        let usable = optimizer.budget().usable_bytes();
        prop_assert!(usable as f64 <= limit as f64 * (1.0 - margin.value()) + 1e-6);
        match optimizer.get_optimal_batch_size(length) {
            Ok(answer) => {
                prop_assert_eq!(answer.limited_by, LimitedBy::Memory);
                let bytes = model.bytes(answer.batch_size, length).expect("no overflow");
                prop_assert_eq!(answer.estimate.total_bytes, bytes);
                prop_assert!(bytes <= usable);
                prop_assert!(model.bytes(answer.batch_size + 1, length).expect("no overflow") > usable);
            }
            Err(Error::Infeasible(why)) => {
                let bytes = model.bytes(1, length).expect("no overflow");
                prop_assert!(bytes > usable);
                prop_assert_eq!(why.shortfall_bytes, bytes - usable);
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn batch_size_never_decreases_with_the_limit(
        model in models(), margin in shares(), floor in 1..4_u64,
        limit in 0..1_000_000_u64, more in 0..10_000_u64, length in 0..300_u64,
    ) {
        let with = |limit| {
            BatchSizeOptimizer::new(limit, model.clone()).with_margin(margin).with_floor(floor)
        };
        prop_assert!(size(&with(limit), length) <= size(&with(limit + more), length));
    }

    #[test]
    fn batch_size_never_increases_with_the_length(
        model in models(), limit in 0..1_000_000_u64, length in 0..300_u64, more in 0..50_u64,
    ) {
        let optimizer = BatchSizeOptimizer::new(limit, model);
        prop_assert!(size(&optimizer, length) >= size(&optimizer, length + more));
    }

    #[test]
    fn every_change_is_sufficient_and_minimal(
        model in models(), margin in shares(), floor in 1..20_u64,
        limit in 0..100_000_u64, length in 0..300_u64,
    ) {
        let with = |limit, floor| {
            BatchSizeOptimizer::new(limit, model.clone()).with_margin(margin).with_floor(floor)
        };
        let optimizer = with(limit, floor);
        let Err(Error::Infeasible(why)) = optimizer.get_optimal_batch_size(length) else {
            return Ok(());
        };
        let mut changes = Vec::new();
        for way in std::iter::once(&why.cheapest_way_out).chain(&why.other_ways_out) {
            match *way {
                WayOut::LowerFloor { to } => {
                    prop_assert!(to >= 1 && to < floor);
                    prop_assert_eq!(size(&with(limit, to), length), to);
                    changes.push((floor - to) as f64 / floor as f64);
                }
                WayOut::ShortenTo { sequence_length } => {
                    prop_assert!(sequence_length >= 1 && sequence_length < length);
                    prop_assert!(size(&optimizer, sequence_length) >= floor);
                    prop_assert_eq!(size(&optimizer, sequence_length + 1), 0);
                    changes.push((length - sequence_length) as f64 / length as f64);
                }
                WayOut::RaiseLimit { to_bytes } => {
                    prop_assert!(to_bytes > limit);
                    prop_assert!(size(&with(to_bytes, floor), length) >= floor);
                    prop_assert_eq!(size(&with(to_bytes - 1, floor), length), 0);
                    changes.push((to_bytes - limit) as f64 / limit as f64);
                }
            }
        }
        prop_assert!(changes.is_sorted(), "{:?}", changes);
        // The list is complete.
        let lower = size(&with(limit, 1), length) > 0;
        let shorter = length > 1 && size(&optimizer, 1) > 0;
        prop_assert_eq!(changes.len(), 1 + usize::from(lower) + usize::from(shorter));
    }

    #[test]
    fn never_panics_on_any_input(
        numbers: [u64; 8], page: NonZeroU64, ceiling: Option<u64>, margin in shares(),
    ) {
        let [limit, fixed, item, position, floor, length, mb, model_mb] = numbers;
        let model = MemoryModel::new()
            .with(Term::new("a").fixed(fixed).per_item(item))
            .with(Term::new("b").per_item_position(position).paged(page));
        let mut optimizer = BatchSizeOptimizer::new(limit, model).with_margin(margin).with_floor(floor);
        let _ = optimizer.get_optimal_batch_size(length);
        if let Some(ceiling) = ceiling {
            optimizer = optimizer.with_ceiling(ceiling);
        }
        let _ = optimizer.get_optimal_batch_size(length);
        let _ = optimizer.with_floor(1).get_optimal_batch_size(length % 1000);
        if let Ok(optimizer) = BatchSizeOptimizer::for_model_size(mb, model_mb) {
            let _ = optimizer.get_optimal_batch_size(length);
        }
    }
}

/// A model of 100 bytes plus 10 bytes per position of each item.
fn small(limit: u64) -> BatchSizeOptimizer {
    let model = MemoryModel::new()
        .with(Term::new("weights").fixed(100))
        .with(Term::new("cache").per_item_position(10));
    BatchSizeOptimizer::new(limit, model)
}

#[test]
fn respects_the_ceiling() {
    let answer = small(10_000)
        .with_ceiling(7)
        .get_optimal_batch_size(10)
        .expect("it fits");
    assert_eq!(
        (answer.batch_size, answer.limited_by),
        (7, LimitedBy::Ceiling)
    );
}

#[test]
fn rejects_empty_bounds() {
    for optimizer in [
        small(10_000).with_floor(0),
        small(10_000).with_ceiling(0),
        small(10_000).with_floor(3).with_ceiling(2),
    ] {
        assert!(matches!(
            optimizer.get_optimal_batch_size(1),
            Err(Error::InvalidBounds { .. })
        ));
    }
}

#[test]
fn constant_memory_requires_a_ceiling() {
    assert_eq!(
        small(1000).get_optimal_batch_size(0),
        Err(Error::Unbounded { sequence_length: 0 })
    );
    let answer = small(1000)
        .with_ceiling(5)
        .get_optimal_batch_size(0)
        .expect("it fits");
    assert_eq!(answer.batch_size, 5);
}

#[test]
fn cheapest_way_out_is_the_smallest_relative_change() {
    // 4 items of 10 positions need 500 bytes. One item or two positions fewer fit.
    let why = infeasible(&small(420).with_floor(4), 10);
    assert_eq!(why.shortfall_bytes, 80);
    // 80 of 420 bytes is less than 2 of 10 positions, which is less than 1 of 4 items.
    assert_eq!(why.cheapest_way_out, WayOut::RaiseLimit { to_bytes: 500 });
    assert_eq!(
        why.other_ways_out,
        [
            WayOut::ShortenTo { sequence_length: 8 },
            WayOut::LowerFloor { to: 3 }
        ]
    );

    // 2 of 4 items, 5 of 10 positions, 200 of 300 bytes: on a tie the floor is first.
    let why = infeasible(&small(300).with_floor(4), 10);
    assert_eq!(why.cheapest_way_out, WayOut::LowerFloor { to: 2 });
    assert_eq!(
        why.other_ways_out[0],
        WayOut::ShortenTo { sequence_length: 5 }
    );
}

#[test]
fn only_a_higher_limit_helps_without_memory() {
    let why = infeasible(&small(0), 10);
    assert_eq!(why.cheapest_way_out, WayOut::RaiseLimit { to_bytes: 200 });
    assert_eq!(why.other_ways_out, []);
}

#[test]
fn results_display_as_tables() {
    let answer = small(420).get_optimal_batch_size(10).expect("it fits");
    let expected = "batch size 3 at length 10\n  weights       100 B\n  cache         300 B\n  \
                    total         400 B\n  usable        420 B\n  free           20 B\n\
                    limited by memory: one more item does not fit";
    assert_eq!(answer.to_string(), expected);

    let why = infeasible(&small(420).with_floor(4), 10).to_string();
    assert!(
        why.starts_with("does not fit: batch size 4 at length 10"),
        "{why}"
    );
    assert!(
        why.ends_with(
            "raise the limit to 500 B (500 bytes), or shorten the length to 8, or lower the floor to 3"
        ),
        "{why}"
    );
}

#[test]
fn plans_from_a_model_size_alone() {
    let optimizer =
        BatchSizeOptimizer::for_model_size(1024, DEFAULT_MODEL_SIZE_MB).expect("no overflow");
    let answer = optimizer.get_optimal_batch_size(100).expect("it fits");
    assert!(answer.estimate.total_bytes <= 1024 * MIB * 9 / 10);
    assert_eq!(answer.estimate.items[0].bytes, 500 * MIB);
    let usage = optimizer
        .estimate_memory_usage(answer.batch_size, 100)
        .expect("no overflow");
    assert_eq!(usage, answer.estimate);

    let why = infeasible(
        &BatchSizeOptimizer::for_model_size(100, 500).expect("no overflow"),
        100,
    );
    assert!(matches!(why.cheapest_way_out, WayOut::RaiseLimit { .. }));
    assert!(matches!(
        BatchSizeOptimizer::for_model_size(u64::MAX, 500),
        Err(Error::Overflow { .. })
    ));
    assert!(matches!(
        BatchSizeOptimizer::for_model_size(500, u64::MAX),
        Err(Error::Overflow { .. })
    ));
}

#[test]
fn results_round_trip_through_json() {
    let optimizer = small(420)
        .with_floor(2)
        .with_ceiling(9)
        .with_margin(Share::percent::<5>());
    let json = serde_json::to_string(&optimizer).expect("serialisable");
    assert_eq!(
        serde_json::from_str::<BatchSizeOptimizer>(&json).expect("valid JSON"),
        optimizer
    );

    let answer = optimizer.get_optimal_batch_size(10).expect("it fits");
    let json = serde_json::to_string(&answer).expect("serialisable");
    assert_eq!(
        serde_json::from_str::<BatchSize>(&json).expect("valid JSON"),
        answer
    );

    let why = infeasible(&optimizer, 100);
    let json = serde_json::to_string(&why).expect("serialisable");
    assert_eq!(
        serde_json::from_str::<Infeasible>(&json).expect("valid JSON"),
        why
    );
}
