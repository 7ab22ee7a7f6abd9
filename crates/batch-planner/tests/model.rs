//! The memory that a model computes for a batch.

use std::num::NonZeroU64;

use batch_planner::{Error, MIB, MemoryModel, SlidingWindow, Term, TransformerDimensions};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn term(fixed: u64, per_item: u64, per_position: u64, page: NonZeroU64) -> Term {
    Term::new("term")
        .fixed(fixed)
        .per_item(per_item)
        .per_item_position(per_position)
        .paged(page)
}

fn terms(most: u64) -> impl Strategy<Value = Vec<Term>> {
    let page = (1..=most.min(64)).prop_map(|page| NonZeroU64::new(page).expect("above 0"));
    let window = proptest::option::of(1..1500_u64);
    let numbers = (0..=most, 0..=most, 0..=most, page, window);
    let term = numbers.prop_map(|(fixed, per_item, per_position, page, window)| Term {
        window_positions: window.and_then(NonZeroU64::new),
        ..term(fixed, per_item, per_position, page)
    });
    proptest::collection::vec(term, 0..5)
}

fn model(terms: &[Term]) -> MemoryModel {
    terms
        .iter()
        .cloned()
        .fold(MemoryModel::new(), MemoryModel::with)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn bytes_follow_the_formula(terms in terms(10_000), batch in 0..1000_u64, length in 0..1000_u64) {
        let expected: u64 = terms
            .iter()
            .map(|term| {
                let page = term.page_positions.get();
                let window = term.window_positions.map_or(u64::MAX, NonZeroU64::get);
                let rounded = length.min(window).div_ceil(page) * page;
                term.fixed_bytes + batch * (term.bytes_per_item + term.bytes_per_item_position * rounded)
            })
            .sum();
        let estimate = model(&terms).itemise(batch, length).expect("no overflow");
        prop_assert_eq!(estimate.total_bytes, expected);
        prop_assert_eq!(estimate.items.iter().map(|item| item.bytes).sum::<u64>(), expected);
        prop_assert_eq!(model(&terms).bytes(batch, length).expect("no overflow"), expected);
    }

    #[test]
    fn bytes_never_decrease_with_batch_size_or_length(terms in terms(10_000), batch in 0..1000_u64, length in 0..1000_u64) {
        let bytes = |batch, length| model(&terms).bytes(batch, length).expect("no overflow");
        prop_assert!(bytes(batch, length) <= bytes(batch + 1, length));
        prop_assert!(bytes(batch, length) <= bytes(batch, length + 1));
    }

    #[test]
    fn overflow_is_an_error(terms in terms(u64::MAX), batch: u64, length: u64) {
        match model(&terms).bytes(batch, length) {
            Ok(bytes) => prop_assert!(terms.iter().all(|term| term.fixed_bytes <= bytes)),
            Err(error) => {
                let overflow = matches!(error, Error::Overflow { .. });
                prop_assert!(overflow, "{error}");
            }
        }
    }

    #[test]
    fn model_round_trips_through_json(terms in terms(u64::MAX)) {
        let json = serde_json::to_string(&model(&terms)).expect("serialisable");
        prop_assert_eq!(serde_json::from_str::<MemoryModel>(&json).expect("valid JSON"), model(&terms));
    }
}

#[test]
fn term_without_bytes_per_position_ignores_overflow_of_the_rounded_length() {
    let page = NonZeroU64::new(1000).expect("above 0");
    let bytes = term(1, 2, 0, page).bytes(3, u64::MAX);
    assert_eq!(bytes, Ok(7));
}

#[test]
fn empty_batch_needs_only_fixed_memory() {
    let bytes = term(5, u64::MAX, u64::MAX, NonZeroU64::MIN).bytes(0, u64::MAX);
    assert_eq!(bytes, Ok(5));
}

#[test]
fn overflow_error_names_the_term() {
    let error = Term::new("cache")
        .per_item(u64::MAX)
        .bytes(2, 0)
        .expect_err("too large");
    assert!(error.to_string().contains("\"cache\""), "{error}");
}

#[test]
fn dimensions_produce_weights_and_cache_terms() {
    let dimensions = TransformerDimensions {
        weight_bytes: 100 * MIB,
        layers: 6,
        sliding_window: None,
        kv_heads: 16,
        head_dimension: 64,
        bits_per_value: 32,
        page_positions: NonZeroU64::new(64).expect("above 0"),
    };
    let model = dimensions.memory_model().expect("no overflow");
    // Keys and values, 6 layers, 1024 elements of 4 bytes, two pages for 65 positions.
    let cache = 2 * 6 * 1024 * 4 * 128;
    assert_eq!(model.bytes(3, 65), Ok(100 * MIB + 3 * cache));

    let huge = TransformerDimensions {
        layers: u64::MAX,
        ..dimensions
    };
    assert!(matches!(huge.memory_model(), Err(Error::Overflow { .. })));
}

#[test]
fn layers_with_a_window_stop_growing_at_the_window() {
    let dimensions = TransformerDimensions {
        weight_bytes: 0,
        layers: 2,
        sliding_window: Some(SlidingWindow {
            layers: 10,
            positions: NonZeroU64::new(100).expect("above 0"),
        }),
        kv_heads: 3,
        head_dimension: 7,
        bits_per_value: 4,
        page_positions: NonZeroU64::MIN,
    };
    let model = dimensions.memory_model().expect("no overflow");
    // Key and value of 3 x 7 elements are 21 bytes for each layer.
    assert_eq!(model.bytes(1, 100), Ok(21 * 12 * 100));
    assert_eq!(model.bytes(2, 150), Ok(2 * 21 * (2 * 150 + 10 * 100)));
    assert_eq!(dimensions.cache_bytes_per_position(), Ok(21 * 12));

    // 3 x 7 x 2 elements of 3 bits are 126 bits: whole bytes for each layer group.
    let odd = TransformerDimensions {
        layers: 1,
        sliding_window: None,
        bits_per_value: 3,
        ..dimensions
    };
    assert_eq!(odd.cache_bytes_per_position(), Ok(16));
}

#[test]
fn estimate_displays_as_a_table() {
    let model = MemoryModel::new()
        .with(Term::new("weights").fixed(3 * MIB))
        .with(Term::new("cache").per_item_position(1024));
    let table = model.itemise(2, 10).expect("no overflow").to_string();
    let expected = "batch size 2 at length 10\n  weights     3.0 MiB\n  cache      20.0 KiB\n  \
                    total       3.0 MiB";
    assert_eq!(table, expected);
}
