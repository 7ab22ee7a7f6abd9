//! Speech generation with the built-in model, through the public API.

use std::path::Path;

use benches::{BenchModel, Loaded, Result, SHORT_TEXT, long_text, without_end};
use criterion::{BenchmarkId, Criterion, Throughput};

fn main() -> Result<()> {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let model = BenchModel::BuiltIn;
    let text = long_text(&model.open(Path::new(""))?)?;
    for threads in [1, 2] {
        let loaded = model.load(Path::new(""), threads)?;
        let mut group = criterion.benchmark_group("speech");
        let id = |what: &str| BenchmarkId::new(what, format!("{threads} threads"));

        group.throughput(Throughput::Elements(generate(&loaded, &text)? as u64));
        group.bench_function(id("samples of a long sentence"), |bencher| {
            bencher.iter(|| generate(&loaded, &text).expect("the same call succeeded before"));
        });

        group.throughput(Throughput::Elements(1));
        group.bench_function(id("first audio of a short sentence"), |bencher| {
            bencher.iter(|| {
                let stream = loaded.stream(SHORT_TEXT, &without_end());
                stream.expect("the text is not empty").next()
            });
        });
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// Generates speech for the text and returns the number of samples.
fn generate(loaded: &Loaded, text: &str) -> Result<usize> {
    let audio = loaded.generate(text, &without_end())?;
    Ok(audio.samples().len())
}
