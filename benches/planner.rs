//! Memory planning: the largest batch size, a plan for many requests, and the admission of one more stream.

use std::num::NonZeroU64;

use batch_planner::{
    BatchSizeOptimizer, Cost, FitOptions, MIB, MemoryBudget, MemoryModel, Request, Sample,
    Schedule, Stream, Term, plan,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Returns a model of weights, state, and caches with two page lengths.
fn model() -> MemoryModel {
    let page = |positions| NonZeroU64::new(positions).expect("page lengths are above 0");
    MemoryModel::new()
        .with(Term::new("weights").fixed(400 * MIB))
        .with(Term::new("state").per_item(3 * MIB))
        .with(
            Term::new("cache")
                .per_item_position(24 << 10)
                .paged(page(64)),
        )
        .with(
            Term::new("output")
                .per_item_position(4 << 10)
                .paged(page(16)),
        )
}

/// Returns scattered values below `below`, by Knuth's multiplicative hash.
fn scattered(count: u64, below: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |number| number * 2_654_435_761 % below)
}

fn batch_size(criterion: &mut Criterion) {
    let optimizer = BatchSizeOptimizer::new(2048 * MIB, model());
    let mut group = criterion.benchmark_group("batch size");
    group.bench_function("that fits", |bencher| {
        bencher.iter(|| {
            optimizer
                .get_optimal_batch_size(500)
                .expect("the batch fits")
        });
    });
    let too_many = optimizer.with_floor(1000);
    group.bench_function("that does not fit", |bencher| {
        bencher.iter(|| {
            too_many
                .get_optimal_batch_size(500)
                .expect_err("1000 items exceed the limit")
        });
    });
    group.finish();
}

fn fit(criterion: &mut Criterion) {
    let samples: Vec<Sample> = (1..=10)
        .flat_map(|batch_size| (1..=10).map(move |tens| (batch_size, tens * 10)))
        .map(|(batch_size, sequence_length)| Sample {
            batch_size,
            sequence_length,
            bytes: 400 * MIB + batch_size * (3 * MIB + sequence_length * (24 << 10)),
        })
        .collect();
    criterion.bench_function("fit of 100 samples", |bencher| {
        bencher.iter(|| {
            MemoryModel::fit(&samples, &FitOptions::default()).expect("the samples are linear")
        });
    });
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    // The low limit allows a few rows per batch; without a limit, one batch may contain all requests.
    for (name, limit) in [("limit of 1 GiB", 1024 * MIB), ("no limit", u64::MAX)] {
        let budget = MemoryBudget::new(limit, model());
        for count in [100, 10_000, 100_000] {
            let requests: Vec<Request> = (0..)
                .zip(scattered(count, 1999))
                .map(|(id, length)| Request { id, length })
                .collect();
            let cost = Cost {
                position: 15_000,
                row: 200,
            };
            group.throughput(Throughput::Elements(count));
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| plan(&requests, &budget, &cost).expect("each request fits alone"));
            });
        }
    }
    group.finish();
}

fn admission(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("admission");
    for count in [10, 1000, 10_000] {
        let streams: Vec<Stream> = (0..)
            .zip(scattered(count, 1999))
            .map(|(id, positions)| Stream {
                id,
                held_positions: positions % 37,
                remaining_positions: positions,
                own_bytes: 0,
            })
            .collect();
        let filled = |limit: u64| {
            let budget = MemoryBudget::new(limit, model());
            Schedule::with_running(budget, streams.clone()).expect("the ids are unique")
        };
        let one_more = Stream {
            id: u64::MAX,
            held_positions: 10,
            remaining_positions: 1000,
            own_bytes: 0,
        };
        let unlimited = filled(u64::MAX);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("admitted", count), |bencher| {
            bencher.iter(|| unlimited.ask(&one_more).expect("no overflow"));
        });
        // The limit equals the peak of the running streams, so one more exceeds it.
        let peak = unlimited.peak().expect("no overflow");
        let full = filled(peak.bytes);
        group.bench_function(BenchmarkId::new("refused", count), |bencher| {
            bencher.iter(|| full.ask(&one_more).expect("no overflow"));
        });
    }
    group.finish();
}

criterion_group!(benches, batch_size, fit, plans, admission);
criterion_main!(benches);
