//! Cutting requests of mixed lengths into batches.

use std::num::NonZeroU64;

use batch_planner::{
    Cost, Error, FitOptions, MIB, MemoryBudget, MemoryModel, Plan, Request, Sample, Term, plan,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn requests(lengths: &[u64]) -> Vec<Request> {
    (0..)
        .zip(lengths)
        .map(|(id, &length)| Request { id, length })
        .collect()
}

/// Returns a budget with `limit` bytes for items.
fn budget(limit: u64, per_item: u64, page: u64) -> MemoryBudget {
    let page = NonZeroU64::new(page).expect("above 0");
    let model = MemoryModel::new()
        .with(Term::new("weights").fixed(1000))
        .with(
            Term::new("cache")
                .per_item(per_item)
                .per_item_position(10)
                .paged(page),
        );
    MemoryBudget::new(limit + 1000, model)
}

/// Returns the cost and the number of batches of the cheapest partition into any sets.
fn brute_force(lengths: &[u64], budget: &MemoryBudget, cost: &Cost) -> Option<(u64, usize)> {
    fn assign(
        lengths: &[u64],
        sets: &mut Vec<Vec<u64>>,
        value: &impl Fn(&[Vec<u64>]) -> Option<(u64, usize)>,
    ) -> Option<(u64, usize)> {
        let Some((first, rest)) = lengths.split_first() else {
            return value(sets);
        };
        let mut best = None;
        for index in 0..=sets.len() {
            if index == sets.len() {
                sets.push(Vec::new());
            }
            sets[index].push(*first);
            let found = assign(rest, sets, value);
            best = best.into_iter().chain(found).min();
            sets[index].pop();
            if sets[index].is_empty() {
                sets.pop();
            }
        }
        best
    }
    let value = |sets: &[Vec<u64>]| {
        let mut total = 0;
        for set in sets {
            let longest = *set.iter().max().expect("sets are not empty");
            let rows = set.len() as u64;
            if budget.model.bytes(rows, longest).expect("no overflow") > budget.usable_bytes() {
                return None;
            }
            total += longest * (cost.position + rows * cost.row);
        }
        Some((total, sets.len()))
    };
    assign(lengths, &mut Vec::new(), &value)
}

/// Returns the cost and the number of batches of the cheapest cuts of the sorted lengths, in O(n²).
fn all_cuts(lengths: &[u64], budget: &MemoryBudget, cost: &Cost) -> (u64, usize) {
    let mut lengths = lengths.to_vec();
    lengths.sort_unstable();
    let mut best = vec![(0, 0)];
    for end in 1..=lengths.len() {
        let longest = lengths[end - 1];
        let value = (0..end)
            .filter(|start| {
                let bytes = budget
                    .model
                    .bytes((end - start) as u64, longest)
                    .expect("no overflow");
                bytes <= budget.usable_bytes()
            })
            .map(|start| {
                let batch = longest * (cost.position + (end - start) as u64 * cost.row);
                (best[start].0 + batch, best[start].1 + 1)
            })
            .min();
        best.push(value.expect("each request fits alone"));
    }
    best[lengths.len()]
}

fn check(plan: &Plan, requests: &[Request], budget: &MemoryBudget, cost: &Cost) {
    let mut planned: Vec<Request> = Vec::new();
    let mut total = 0;
    for batch in &plan.batches {
        let rows = batch.requests.len() as u64;
        assert_eq!(batch.longest, batch.requests[0].length);
        assert!(batch.requests.is_sorted_by(|a, b| a.length >= b.length));
        assert_eq!(
            batch.bytes,
            budget
                .model
                .bytes(rows, batch.longest)
                .expect("no overflow")
        );
        assert!(batch.bytes <= budget.usable_bytes());
        assert_eq!(
            batch.cost,
            batch.longest * (cost.position + rows * cost.row)
        );
        total += batch.cost;
        planned.extend(&batch.requests);
    }
    assert_eq!(plan.cost, total);
    assert!(plan.batches.is_sorted_by(|a, b| a.longest >= b.longest));
    let mut expected = requests.to_vec();
    planned.sort_by_key(|request| request.id);
    expected.sort_by_key(|request| request.id);
    assert_eq!(planned, expected);
}

/// Random lengths, a budget in which the longest fits alone, and a cost.
fn inputs(most: usize, longest: u64) -> impl Strategy<Value = (Vec<u64>, MemoryBudget, Cost)> {
    let lengths = proptest::collection::vec(0..=longest, 0..=most);
    (
        lengths,
        0..8_u64,
        0..300_u64,
        1..9_u64,
        0..100_u64,
        0..20_u64,
    )
        .prop_map(|(lengths, items, per_item, page, position, row)| {
            let longest = lengths
                .iter()
                .max()
                .copied()
                .unwrap_or(0)
                .next_multiple_of(page);
            let alone = per_item + 10 * longest;
            (
                lengths,
                budget(alone + alone * items / 2, per_item, page),
                Cost { position, row },
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn no_partition_is_cheaper((lengths, budget, cost) in inputs(8, 30)) {
        let requests = requests(&lengths);
        let plan = plan(&requests, &budget, &cost).expect("each request fits alone");
        check(&plan, &requests, &budget, &cost);
        let best = brute_force(&lengths, &budget, &cost).expect("each request fits alone");
        prop_assert_eq!((plan.cost, plan.batches.len()), best);
    }

    #[test]
    fn cheapest_plan_has_the_fewest_batches(
        (lengths, budget, _) in inputs(8, 3), position in 0..3_u64, row in 0..3_u64,
    ) {
        let cost = Cost { position, row };
        let plan = plan(&requests(&lengths), &budget, &cost).expect("each request fits alone");
        let best = brute_force(&lengths, &budget, &cost).expect("each request fits alone");
        prop_assert_eq!((plan.cost, plan.batches.len()), best);
    }

    #[test]
    fn no_other_cuts_are_cheaper((lengths, budget, cost) in inputs(120, 1000)) {
        let requests = requests(&lengths);
        let plan = plan(&requests, &budget, &cost).expect("each request fits alone");
        check(&plan, &requests, &budget, &cost);
        prop_assert_eq!((plan.cost, plan.batches.len()), all_cuts(&lengths, &budget, &cost));
    }

    #[test]
    fn batch_lengths_do_not_depend_on_the_order_of_requests(
        (mut lengths, budget, cost) in inputs(40, 100),
        swaps in proptest::collection::vec((0..40_usize, 0..40_usize), 40),
    ) {
        let shape = |lengths: &[u64]| -> Vec<Vec<u64>> {
            let plan = plan(&requests(lengths), &budget, &cost).expect("each request fits alone");
            let lengths = |batch: &batch_planner::Batch| batch.requests.iter().map(|r| r.length).collect();
            plan.batches.iter().map(lengths).collect()
        };
        let before = shape(&lengths);
        for (a, b) in swaps {
            if a.max(b) < lengths.len() {
                lengths.swap(a, b);
            }
        }
        prop_assert_eq!(shape(&lengths), before);
    }

    #[test]
    fn never_panics_on_any_input(
        lengths in proptest::collection::vec(any::<u64>(), 0..20), numbers: [u64; 4], small: bool,
    ) {
        let [limit, per_item, position, row] = numbers;
        let scale = if small { 1 << 40 } else { 1 };
        let lengths: Vec<u64> = lengths.into_iter().map(|length| length / scale).collect();
        let model = MemoryModel::new().with(Term::new("a").per_item(per_item / scale).per_item_position(1));
        let _ = plan(&requests(&lengths), &MemoryBudget::new(limit, model), &Cost { position, row });
    }
}

#[test]
fn empty_input_has_no_batches() {
    let plan = plan(
        &[],
        &budget(0, 0, 1),
        &Cost {
            position: 1,
            row: 1,
        },
    )
    .expect("an empty plan");
    assert_eq!((plan.batches.len(), plan.cost), (0, 0));
}

#[test]
fn requests_of_equal_length_stay_in_order() {
    let lengths = [5, 9, 5, 5, 9];
    let plan = plan(
        &requests(&lengths),
        &budget(1 << 20, 0, 1),
        &Cost {
            position: 9,
            row: 1,
        },
    );
    let ids = |plan: Plan| -> Vec<u64> {
        plan.batches[0]
            .requests
            .iter()
            .map(|request| request.id)
            .collect()
    };
    assert_eq!(ids(plan.expect("it fits")), [1, 4, 0, 2, 3]);
}

#[test]
fn rejects_and_names_a_request_that_does_not_fit_alone() {
    let error = plan(
        &requests(&[10, 90, 20]),
        &budget(500, 0, 1),
        &Cost {
            position: 1,
            row: 1,
        },
    )
    .expect_err("90 positions are 900 bytes");
    assert_eq!(
        error,
        Error::RequestTooLarge {
            id: 1,
            length: 90,
            needed_bytes: 1900,
            usable_bytes: 1500,
            shortfall_bytes: 400
        }
    );
    assert!(
        error.to_string().starts_with("request 1 of length 90"),
        "{error}"
    );
}

#[test]
fn cost_above_64_bits_is_an_error() {
    let plan_with = |position, row| {
        plan(
            &requests(&[2, 2]),
            &budget(1000, 0, 1),
            &Cost { position, row },
        )
    };
    assert!(matches!(
        plan_with(u64::MAX, 1),
        Err(Error::Overflow { .. })
    ));
    assert!(matches!(
        plan_with(u64::MAX, u64::MAX),
        Err(Error::Overflow { .. })
    ));
    assert_eq!(
        plan_with(u64::MAX / 4, 0).expect("it fits").cost,
        u64::MAX / 4 * 2
    );
}

#[test]
fn fitted_model_limits_the_rows() {
    let sample = |batch_size, sequence_length| Sample {
        batch_size,
        sequence_length,
        bytes: MIB + batch_size * sequence_length,
    };
    let samples = [sample(1, 1), sample(1, 100), sample(3, 1), sample(3, 100)];
    let fit = MemoryModel::fit(&samples, &FitOptions::default()).expect("linear");
    let budget = MemoryBudget::new(u64::MAX, fit.model);
    let cost = Cost {
        position: 100,
        row: 1,
    };
    let answer = plan(&requests(&[10; 7]), &budget, &cost).expect("it fits");
    let rows: Vec<usize> = answer
        .batches
        .iter()
        .map(|batch| batch.requests.len())
        .collect();
    assert_eq!(rows.iter().max(), Some(&3));
    assert_eq!(rows.len(), 3);
    let outside = plan(&requests(&[10, 101]), &budget, &cost);
    assert!(matches!(outside, Err(Error::OutOfRange { .. })));
}

#[test]
fn plans_10_000_requests() {
    // Pseudo-random lengths (Knuth's multiplicative hash).
    let lengths: Vec<u64> = (0..10_000_u64)
        .map(|n| n * 2_654_435_761 % 1999 + 1)
        .collect();
    let budget = budget(10 * 2000 * 1000, 0, 1);
    let cost = Cost {
        position: 500,
        row: 3,
    };
    let requests = requests(&lengths);
    let answer = plan(&requests, &budget, &cost).expect("it fits");
    check(&answer, &requests, &budget, &cost);
}

#[test]
fn plan_displays_as_a_table_and_round_trips_through_json() {
    let answer = plan(
        &requests(&[30, 10, 25]),
        &budget(600, 0, 1),
        &Cost {
            position: 2,
            row: 1,
        },
    )
    .expect("it fits");
    let table = answer.to_string();
    assert!(
        table.starts_with("3 requests in 2 batches, cost 150, 5 positions of padding\n"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 4);
    let json = serde_json::to_string(&answer).expect("serialisable");
    assert_eq!(
        serde_json::from_str::<Plan>(&json).expect("valid JSON"),
        answer
    );
}
