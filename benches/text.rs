//! Splitting a long text into segments.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use benches::BenchModel;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tts_core::GenerateOptions;
use tts_core::text::{TextOptions, segment_text};

/// Length of the text.
const TEXT_BYTES: usize = 64 << 10;

const SENTENCES: &str = "The boat left the harbour at seven, and no one waved. Was it the rain? \
    We counted 3.5 miles: first along the wall, then over the bridge; at the end we ran! ";

fn segmentation(criterion: &mut Criterion) {
    let tokenizer = BenchModel::BuiltIn
        .open(Path::new(""))
        .expect("the model is built in")
        .tokenizer;
    let tokenizer = Arc::new(tokenizer);
    let text: String = SENTENCES.chars().cycle().take(TEXT_BYTES).collect();
    let max_tokens =
        NonZeroUsize::new(GenerateOptions::default().max_tokens).expect("the default is not 0");
    let options = TextOptions::default();
    let start = || {
        segment_text(Arc::clone(&tokenizer), &text, max_tokens, &options)
            .expect("the text is not empty")
    };

    let mut group = criterion.benchmark_group("text");
    group.throughput(Throughput::Bytes(TEXT_BYTES as u64));
    group.bench_function("all segments of 64 KiB", |bencher| {
        bencher.iter(|| start().inspect(|segment| assert!(segment.is_ok())).count());
    });
    group.bench_function("first segment of 64 KiB", |bencher| {
        bencher.iter(|| {
            start()
                .next()
                .expect("the text has a segment")
                .expect("the text has words")
        });
    });
    group.finish();
}

criterion_group!(suite, segmentation);
criterion_main!(suite);
