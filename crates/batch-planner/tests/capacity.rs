//! How many sequences of mixed lengths fit beside the memory in use, and how long a batch may be.

use std::num::NonZeroU64;

use batch_planner::{
    BatchSizeOptimizer, Capacity, Error, FitOptions, MemoryBudget, MemoryModel, Sample, Sequences,
    Share, Term,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn model(fixed: u64, item: u64, position: u64) -> MemoryModel {
    MemoryModel::new()
        .with(Term::new("scratch").fixed(fixed))
        .with(
            Term::new("cache")
                .per_item(item)
                .per_item_position(position)
                .paged(NonZeroU64::new(4).expect("above 0")),
        )
}

fn singles(lengths: &[u64]) -> Vec<Sequences> {
    let single = |&length| Sequences { count: 1, length };
    lengths.iter().map(single).collect()
}

/// Returns the bytes of the given sequences together, by summing batches of one.
fn bytes(budget: &MemoryBudget, lengths: &[u64]) -> u64 {
    let empty = budget.model.bytes(0, 0).expect("small");
    let alone = |&length| budget.model.bytes(1, length).expect("small") - empty;
    budget.used_bytes + empty + lengths.iter().map(alone).sum::<u64>()
}

/// Tries every batch size, and every limit below the answer's sufficient one.
fn simulate(budget: &MemoryBudget, lengths: &[u64], max_batch_size: usize) -> Capacity {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let most = sorted.len().min(max_batch_size);
    let usable = |budget: &MemoryBudget| {
        MemoryBudget {
            used_bytes: 0,
            ..budget.clone()
        }
        .usable_bytes()
    };
    let fits = |&size: &usize| bytes(budget, &sorted[..size]) <= usable(budget);
    let batch_size = (1..=most).rev().find(fits).unwrap_or(0);
    let smallest = bytes(budget, &sorted[..most.min(1)]);
    let enough = |&limit: &u64| {
        usable(&MemoryBudget {
            limit_bytes: limit,
            ..budget.clone()
        }) >= smallest
    };
    Capacity {
        batch_size: batch_size as u64,
        peak_bytes: bytes(budget, &sorted[..batch_size.max(most.min(1))]),
        shortfall_bytes: smallest.saturating_sub(usable(budget)),
        sufficient_limit_bytes: (0..).find(enough).expect("some limit is sufficient"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn capacity_equals_trying_every_batch_and_every_limit(
        (fixed, item, position) in (0..200_u64, 0..100_u64, 0..9_u64),
        lengths in prop::collection::vec(0..40_u64, 0..8),
        (limit, used, margin) in (0..3000_u64, 0..600_u64, 0..60_u32),
        max_batch_size in 0..9_usize,
    ) {
        let budget = MemoryBudget::new(limit, model(fixed, item, position))
            .with_used(used)
            .with_margin(Share::new(f64::from(margin) / 100.0)?);
        let capacity = budget.capacity(&singles(&lengths), max_batch_size as u64)?;
        prop_assert_eq!(capacity, simulate(&budget, &lengths, max_batch_size));
        prop_assert_eq!(capacity.fits(), capacity.peak_bytes <= limit - (limit * u64::from(margin)).div_ceil(100));
    }

    #[test]
    fn every_selection_of_the_batch_size_fits(
        lengths in prop::collection::vec(0..40_u64, 1..8),
        limit in 0..2000_u64,
        mask in 0..256_usize,
    ) {
        let budget = MemoryBudget::new(limit, model(50, 20, 7));
        let capacity = budget.capacity(&singles(&lengths), u64::MAX)?;
        let chosen = lengths.iter().enumerate().filter(|(index, _)| mask >> index & 1 == 1);
        let chosen: Vec<u64> = chosen.map(|(_, length)| *length).take(capacity.batch_size as usize).collect();
        prop_assert!(chosen.is_empty() || bytes(&budget, &chosen) <= limit);
    }

    #[test]
    fn groups_equal_their_single_sequences(
        groups in prop::collection::vec((0..4_u64, 0..40_u64), 0..5),
        limit in 0..3000_u64,
        max_batch_size in 0..12_u64,
    ) {
        let groups: Vec<Sequences> =
            groups.iter().map(|&(count, length)| Sequences { count, length }).collect();
        let lengths: Vec<u64> = groups
            .iter()
            .flat_map(|group| (0..group.count).map(|_| group.length))
            .collect();
        let budget = MemoryBudget::new(limit, model(50, 20, 7));
        prop_assert_eq!(
            budget.capacity(&groups, max_batch_size)?,
            budget.capacity(&singles(&lengths), max_batch_size)?
        );
    }

    #[test]
    fn longest_length_fits_and_the_next_does_not(
        (fixed, item, position) in (0..200_u64, 0..100_u64, 0..9_u64),
        window in prop::option::of(1..60_u64),
        (limit, used) in (0..3000_u64, 0..600_u64),
        batch_size in 1..9_u64,
    ) {
        let window = window.and_then(NonZeroU64::new);
        let model = model(fixed, item, position)
            .with(Term { window_positions: window, ..Term::new("window").per_item_position(3) });
        let budget = MemoryBudget::new(limit, model.clone()).with_used(used);
        let fits = |length| used + model.bytes(batch_size, length).expect("small") <= limit;
        match budget.longest_length(batch_size) {
            Ok(Some(length)) => prop_assert!(fits(length) && !fits(length + 1)),
            Ok(None) => prop_assert!(position == 0 && window.is_some() && fits(1_000_000)),
            Err(Error::Infeasible(why)) => {
                prop_assert!(!fits(1));
                let needed = used + model.bytes(batch_size, 1).expect("small");
                prop_assert_eq!(why.shortfall_bytes, needed - limit);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn optimizer_and_capacity_agree_on_equal_lengths(
        length in 0..100_u64,
        (limit, used) in (0..100_000_u64, 0..5000_u64),
    ) {
        let model = model(1000, 64, 9);
        let budget = MemoryBudget::new(limit, model.clone()).with_used(used);
        let group = Sequences { count: u64::MAX, length };
        let capacity = budget.capacity(&[group], u64::MAX)?;
        let with_term = model.with(Term::new("the rest of the program").fixed(used));
        match BatchSizeOptimizer::new(limit, with_term).get_optimal_batch_size(length) {
            Ok(answer) => {
                prop_assert_eq!(answer.batch_size, capacity.batch_size);
                prop_assert_eq!(answer.estimate.total_bytes, capacity.peak_bytes);
            }
            Err(Error::Infeasible(why)) => {
                prop_assert_eq!(capacity.batch_size, 0);
                prop_assert_eq!(why.shortfall_bytes, capacity.shortfall_bytes);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn memory_in_use_above_the_limit_admits_nothing() {
    let budget = MemoryBudget::new(100, MemoryModel::new()).with_used(101);
    let capacity = budget.capacity(&singles(&[5]), 1).expect("small numbers");
    assert_eq!((capacity.batch_size, capacity.shortfall_bytes), (0, 1));
    assert_eq!(capacity.sufficient_limit_bytes, 101);
}

#[test]
fn sequences_of_unknown_number_are_limited_by_memory() {
    let budget = MemoryBudget::new(1000, model(100, 100, 0));
    let unknown = Sequences {
        count: u64::MAX,
        length: 7,
    };
    let capacity = budget
        .capacity(&[unknown], u64::MAX)
        .expect("small numbers");
    assert_eq!((capacity.batch_size, capacity.peak_bytes), (9, 1000));
}

#[test]
fn sequences_without_memory_are_limited_by_the_maximum() {
    let budget = MemoryBudget::new(0, MemoryModel::new());
    let unknown = Sequences {
        count: u64::MAX,
        length: 7,
    };
    let capacity = budget.capacity(&[unknown], 3).expect("small numbers");
    assert_eq!((capacity.batch_size, capacity.peak_bytes), (3, 0));
}

#[test]
fn longest_length_stays_inside_the_measured_range() {
    let sample = |batch_size, sequence_length| Sample {
        batch_size,
        sequence_length,
        bytes: 1000 + batch_size * sequence_length,
    };
    let samples = [(1, 10), (1, 100), (4, 10), (4, 100)].map(|(b, l)| sample(b, l));
    let fit = MemoryModel::fit(&samples, &FitOptions::default()).expect("linear");
    let longest =
        |limit, batch_size| MemoryBudget::new(limit, fit.model.clone()).longest_length(batch_size);
    assert_eq!(longest(1200, 4), Ok(Some(50)));
    assert_eq!(longest(1 << 30, 4), Ok(Some(100)), "longer is not measured");
    assert!(
        matches!(longest(1039, 4), Err(Error::Infeasible(_))),
        "10 positions need 1040"
    );
    assert!(matches!(longest(1200, 5), Err(Error::OutOfRange { .. })));
    assert!(matches!(longest(1200, 0), Err(Error::InvalidBounds { .. })));
}

#[test]
fn more_than_64_bits_is_an_error() {
    let budget = MemoryBudget::new(u64::MAX, model(0, 0, u64::MAX / 8)).with_used(8);
    let fits = budget.capacity(&singles(&[8]), 1);
    assert!(matches!(fits, Err(Error::Overflow { .. })), "{fits:?}");
    let fits = budget.capacity(&singles(&[4, 4]), 2).expect("one fits");
    assert_eq!(fits.batch_size, 1);
}
