//! Converting the sample rate of a voice recording.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tts_core::Audio;

/// Duration of the recording: the longest voice prompt.
const DURATION_SECONDS: u32 = 30;

fn resampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resampling of 30 s");
    group.sample_size(10);
    for (from_hz, to_hz) in [(48_000, 24_000), (44_100, 24_000), (16_000, 24_000)] {
        let samples = (0..DURATION_SECONDS * from_hz)
            .map(|index| (index as f32 * 0.05).sin() * 0.5)
            .collect();
        let recording = Audio::new(samples, from_hz);
        group.throughput(Throughput::Elements(u64::from(DURATION_SECONDS * from_hz)));
        let id = BenchmarkId::from_parameter(format!("{from_hz} to {to_hz} Hz"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                recording
                    .resampled(to_hz)
                    .expect("both rates are supported")
            });
        });
    }
    group.finish();
}

criterion_group!(suite, resampling);
criterion_main!(suite);
