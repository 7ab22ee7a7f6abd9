//! Admission, compared with a simulation position by position.

use std::num::NonZeroU64;

use batch_planner::{
    Admission, Error, FitOptions, MemoryBudget, MemoryModel, Peak, Sample, Schedule, ScheduleError,
    Share, Stream, Term,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Later than the end of every test stream.
const END: u64 = 200;

/// Returns the memory of all streams at each time. The last stream starts at time `start`.
fn simulate(model: &MemoryModel, streams: &[Stream], start: u64) -> Vec<u64> {
    let fixed = model.bytes(0, 0).expect("no overflow");
    let newest = streams.len().checked_sub(1);
    (0..=END)
        .map(|time| {
            let mut bytes = fixed;
            for (index, stream) in streams.iter().enumerate() {
                let delay = if Some(index) == newest { start } else { 0 };
                let Some(taken) = time.checked_sub(delay) else {
                    continue;
                };
                if taken <= stream.remaining_positions {
                    let item = model
                        .bytes(1, stream.held_positions + taken)
                        .expect("no overflow")
                        - fixed;
                    bytes += item + stream.own_bytes;
                }
            }
            bytes
        })
        .collect()
}

fn models() -> impl Strategy<Value = MemoryModel> {
    let page = || (1..12_u64).prop_map(|positions| NonZeroU64::new(positions).expect("above 0"));
    let window = proptest::option::of(1..60_u64);
    (
        0..300_u64,
        0..100_u64,
        0..20_u64,
        0..9_u64,
        page(),
        page(),
        window,
    )
        .prop_map(|(fixed, item, a, b, page_a, page_b, window)| {
            MemoryModel::new()
                .with(
                    Term::new("a")
                        .fixed(fixed)
                        .per_item_position(a)
                        .paged(page_a),
                )
                .with(Term {
                    window_positions: window.and_then(NonZeroU64::new),
                    ..Term::new("b")
                        .per_item(item)
                        .per_item_position(b)
                        .paged(page_b)
                })
        })
}

fn streams(most: usize) -> impl Strategy<Value = Vec<Stream>> {
    proptest::collection::vec((0..30_u64, 0..40_u64, 0..50_u64), 0..=most).prop_map(|numbers| {
        (1..)
            .zip(numbers)
            .map(
                |(id, (held_positions, remaining_positions, own_bytes))| Stream {
                    id,
                    held_positions,
                    remaining_positions,
                    own_bytes,
                },
            )
            .collect()
    })
}

/// Returns a schedule with these running streams.
fn running(model: &MemoryModel, streams: &[Stream], limit: u64) -> Schedule {
    let budget = MemoryBudget::new(limit, model.clone());
    Schedule::with_running(budget, streams.to_vec()).expect("unique ids")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn admission_equals_a_simulation(
        model in models(), all in streams(7), limit in 0..6000_u64,
    ) {
        let Some((candidate, others)) = all.split_last() else {
            return Ok(());
        };
        let schedule = running(&model, others, limit);
        let now = simulate(&model, &all, 0);
        let running = ..=candidate.remaining_positions as usize;
        let peak_bytes = *now[running].iter().max().expect("it runs at time 0");

        let answer = schedule.ask(candidate).expect("no overflow");
        let (Admission::Admit { peak, .. } | Admission::Refuse { peak, .. }) = answer;
        prop_assert_eq!(peak.bytes, peak_bytes);
        prop_assert_eq!(now[peak.after_positions as usize], peak_bytes);
        prop_assert!(peak.after_positions <= candidate.remaining_positions);
        prop_assert!(all.iter().any(|stream| stream.remaining_positions == peak.after_positions));
        match answer {
            Admission::Admit { headroom_bytes, .. } => {
                prop_assert_eq!(headroom_bytes, limit - peak_bytes);
            }
            Admission::Refuse { shortfall_bytes, earliest_start_after_positions, .. } => {
                prop_assert_eq!(shortfall_bytes, peak_bytes - limit);
                let fits = |start: &u64| {
                    let bytes = simulate(&model, &all, *start);
                    let last = start + candidate.remaining_positions;
                    bytes[*start as usize..=last as usize].iter().all(|bytes| *bytes <= limit)
                };
                prop_assert_eq!(earliest_start_after_positions, (0..100).find(fits));
            }
        }
    }

    #[test]
    fn peak_equals_a_simulation(model in models(), all in streams(9)) {
        let peak = running(&model, &all, 0).peak().expect("no overflow");
        let bytes = simulate(&model, &all, 0);
        prop_assert_eq!(Some(&peak.bytes), bytes.iter().max());
        prop_assert_eq!(bytes[peak.after_positions as usize], peak.bytes);
        let earlier = all.iter().map(|stream| stream.remaining_positions).filter(|time| *time < peak.after_positions);
        for time in earlier {
            prop_assert!(bytes[time as usize] < peak.bytes);
        }
    }

    #[test]
    fn advancing_does_not_change_the_future(
        model in models(), all in streams(7), positions in 0..50_u64, more in 0..50_u64,
    ) {
        let mut schedule = running(&model, &all, 0);
        let ended = schedule.advance(positions);
        prop_assert_eq!(ended.len() + schedule.running().len(), all.len());
        let later = simulate(&model, &all, 0)[positions as usize..].to_vec();
        prop_assert_eq!(Some(&schedule.peak().expect("no overflow").bytes), later.iter().max());

        let mut in_one_call = running(&model, &all, 0);
        in_one_call.advance(positions + more);
        schedule.advance(more);
        prop_assert_eq!(schedule, in_one_call);
    }

    #[test]
    fn only_admitted_streams_start(
        model in models(), all in streams(12), limit in 0..6000_u64,
    ) {
        let mut schedule = Schedule::new(MemoryBudget::new(limit, model));
        for stream in all {
            let before = schedule.running().len();
            let admitted = schedule.start(stream).expect("no overflow").is_admitted();
            prop_assert_eq!(schedule.running().len(), before + usize::from(admitted));
            // Admitted streams stay within the budget to the end.
            prop_assert!(before == 0 && !admitted || schedule.peak().expect("no overflow").bytes <= limit);
        }
    }

    #[test]
    fn never_panics_on_any_input(
        numbers: [u64; 4], page: NonZeroU64, shift in 0..64_u32,
        all in proptest::collection::vec(any::<[u64; 3]>(), 0..6), margin in 0..100_u32,
    ) {
        let [limit, fixed, item, position] = numbers.map(|number| number >> shift);
        let model = MemoryModel::new()
            .with(Term::new("a").fixed(fixed).per_item(item))
            .with(Term::new("b").per_item_position(position).paged(page))
            .with(Term::new("c").per_item_position(position));
        let budget = MemoryBudget::new(limit, model).with_margin(Share::new(f64::from(margin) / 100.0).expect("below 1"));
        let mut schedule = Schedule::new(budget);
        for (id, numbers) in (0..).zip(all) {
            let [held_positions, remaining_positions, own_bytes] = numbers.map(|number| number >> shift);
            let _ = schedule.start(Stream { id, held_positions, remaining_positions, own_bytes });
        }
        let _ = schedule.peak();
        let _ = schedule.advance(limit);
        let _ = schedule.advance(u64::MAX);
        prop_assert!(schedule.running().iter().all(|stream| stream.remaining_positions == 0));
    }
}

fn stream(id: u64, remaining_positions: u64) -> Stream {
    Stream {
        id,
        held_positions: 0,
        remaining_positions,
        own_bytes: 0,
    }
}

fn schedule(limit: u64) -> Schedule {
    let model = MemoryModel::new().with(Term::new("cache").per_item_position(1));
    Schedule::new(MemoryBudget::new(limit, model))
}

#[test]
fn stream_that_never_fits_has_no_earliest_start() {
    let answer = schedule(10).ask(&stream(1, 11)).expect("no overflow");
    assert!(matches!(
        answer,
        Admission::Refuse {
            earliest_start_after_positions: None,
            shortfall_bytes: 1,
            ..
        }
    ));
    assert_eq!(
        answer.to_string(),
        "refused: the peak of 11 B after 11 positions exceeds the budget by 1 B; the stream does not fit even alone"
    );
}

#[test]
fn rejects_duplicate_and_unknown_ids() {
    let mut schedule = schedule(100);
    assert!(
        schedule
            .start(stream(1, 10))
            .expect("no overflow")
            .is_admitted()
    );
    assert_eq!(
        schedule.start(stream(1, 10)),
        Err(ScheduleError::DuplicateStream { id: 1 }.into())
    );
    assert_eq!(
        schedule.finish(2),
        Err(ScheduleError::UnknownStream { id: 2 })
    );
    assert_eq!(schedule.finish(1), Ok(stream(1, 10)));
    assert_eq!(schedule.running(), []);

    let twice = Schedule::with_running(schedule.budget().clone(), vec![stream(3, 1); 2]);
    assert_eq!(twice, Err(ScheduleError::DuplicateStream { id: 3 }.into()));
}

#[test]
fn reports_the_first_of_equal_peaks() {
    let mut schedule = Schedule::new(MemoryBudget::new(100, MemoryModel::new()));
    let large = Stream {
        own_bytes: 50,
        ..stream(1, 10)
    };
    assert!(schedule.start(large).expect("no overflow").is_admitted());
    assert!(
        schedule
            .start(stream(2, 5))
            .expect("no overflow")
            .is_admitted()
    );
    assert_eq!(
        schedule.peak(),
        Ok(Peak {
            bytes: 50,
            after_positions: 5
        })
    );
}

#[test]
fn stream_runs_up_to_its_last_position() {
    let mut schedule = schedule(100);
    assert!(
        schedule
            .start(stream(1, 10))
            .expect("no overflow")
            .is_admitted()
    );
    assert_eq!(schedule.advance(10), []);
    assert_eq!(schedule.peak().expect("no overflow").bytes, 10);
    assert_eq!(schedule.advance(1).len(), 1);
    assert_eq!(schedule.peak().expect("no overflow").bytes, 0);
}

#[test]
fn earliest_start_may_be_later_although_an_earlier_start_was_admissible() {
    // The running stream grows for 90 positions. A short stream fits at the beginning or near the end.
    let mut schedule = schedule(100);
    assert!(
        schedule
            .start(stream(1, 90))
            .expect("no overflow")
            .is_admitted()
    );
    assert!(
        schedule
            .ask(&stream(2, 20))
            .expect("no overflow")
            .is_admitted()
    );
    schedule.advance(75);
    let answer = schedule.ask(&stream(2, 20)).expect("no overflow");
    // At time 15 the first stream needs 90 bytes, so the second may have advanced by at most 10 positions.
    assert!(matches!(
        answer,
        Admission::Refuse {
            earliest_start_after_positions: Some(5),
            ..
        }
    ));
}

#[test]
fn fitted_model_limits_streams_and_lengths() {
    let sample = |batch_size, sequence_length| Sample {
        batch_size,
        sequence_length,
        bytes: 1000 + batch_size * sequence_length,
    };
    let samples = [sample(1, 10), sample(1, 100), sample(2, 10), sample(2, 100)];
    let fit = MemoryModel::fit(&samples, &FitOptions::default()).expect("linear");
    let mut schedule = Schedule::new(MemoryBudget::new(1 << 20, fit.model));
    assert!(matches!(
        schedule.ask(&stream(1, 101)),
        Err(Error::OutOfRange { .. })
    ));
    assert!(
        schedule
            .start(stream(1, 100))
            .expect("inside")
            .is_admitted()
    );
    assert!(schedule.start(stream(2, 50)).expect("inside").is_admitted());
    assert!(matches!(
        schedule.ask(&stream(3, 50)),
        Err(Error::OutOfRange { .. })
    ));
}

#[test]
fn schedule_round_trips_through_json() {
    let mut schedule = schedule(100);
    let admission = schedule.start(stream(1, 10)).expect("no overflow");
    let json = serde_json::to_string(&schedule).expect("serialisable");
    assert_eq!(
        serde_json::from_str::<Schedule>(&json).expect("valid JSON"),
        schedule
    );
    let json = serde_json::to_string(&admission).expect("serialisable");
    assert_eq!(
        serde_json::from_str::<Admission>(&json).expect("valid JSON"),
        admission
    );
}
