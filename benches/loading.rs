//! Loading a model and its voice.

use std::path::Path;

use benches::BenchModel;
use criterion::{Criterion, criterion_group, criterion_main};

fn loading(criterion: &mut Criterion) {
    let model = BenchModel::BuiltIn;
    criterion.bench_function("loading/built-in", |bencher| {
        bencher.iter(|| model.load(Path::new(""), 2).expect("the model is built in"));
    });
}

criterion_group!(suite, loading);
criterion_main!(suite);
