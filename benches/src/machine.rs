//! The limits of the machine, and the memory of this process.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use mem_monitor::{Metric, ProcessSource, Reading, Source, StatusSource};
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;

use crate::Result;

/// Size of the buffer that is read: far larger than any cache.
pub const BUFFER_BYTES: usize = 1 << 30;

/// Side of the multiplied matrices: large enough that arithmetic dominates the time.
const MATRIX: usize = 1024;

/// Repetitions of each measurement. The fastest is the limit, since slower ones were disturbed.
const TAKES: usize = 7;

/// The limits of the machine for a number of threads.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes read from memory per second.
    pub bytes_per_second: f64,
    /// Additions and multiplications per second in f32 matrix products.
    pub flops_per_second: f64,
}

impl Limits {
    /// Measures the limits.
    ///
    /// # Errors
    ///
    /// Threads cannot be started.
    pub fn measure(threads: usize) -> Result<Self> {
        Ok(Self {
            bytes_per_second: bytes_per_second(threads),
            flops_per_second: flops_per_second(threads)?,
        })
    }
}

fn bytes_per_second(threads: usize) -> f64 {
    let buffer = vec![1_u64; BUFFER_BYTES / size_of::<u64>()];
    let share = buffer.len().div_ceil(threads);
    let best = best_of(|| {
        std::thread::scope(|scope| {
            for share in buffer.chunks(share) {
                let sum = move || share.iter().fold(0_u64, |sum, &x| sum.wrapping_add(x));
                scope.spawn(move || black_box(sum()));
            }
        });
    });
    BUFFER_BYTES as f64 / best.as_secs_f64()
}

fn flops_per_second(threads: usize) -> Result<f64> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?;
    let best = pool.install(|| {
        let executor = GemmExecutor::<f32>::default();
        let shape = [MATRIX, MATRIX];
        let values = vec![0.5; MATRIX * MATRIX];
        let mut product = vec![0.0; MATRIX * MATRIX];
        let matrix = || NdTensorView::from_data(shape, values.as_slice());
        let packed = executor.prepack_b(matrix());
        best_of(|| {
            let (a, b) = (GemmInputA::Unpacked(matrix()), GemmInputB::Packed(&packed));
            executor
                .gemm(&mut product, a, b, GemmOptions::default())
                .expect("both matrices are square and of the same size");
            black_box(&mut product);
        })
    });
    Ok(2.0 * (MATRIX as f64).powi(3) / best.as_secs_f64())
}

fn best_of(mut work: impl FnMut()) -> Duration {
    (0..TAKES)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

/// Returns the peak RSS of this process since its start or [`reset_peak_rss`]; `None` if the system does
/// not report it.
pub fn peak_rss_bytes() -> Option<u64> {
    read(&StatusSource::new(Path::new("/")), Metric::RssHighWater)
}

/// Returns the RSS of this process; `None` if the system does not report it.
pub fn rss_bytes() -> Option<u64> {
    read(&ProcessSource::new(Path::new("/")), Metric::Rss)
}

/// Resets [`peak_rss_bytes`] to the current RSS, if the system supports it.
pub fn reset_peak_rss() {
    // On other systems the file does not exist, and the peak stays an upper bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn read(source: &impl Source, metric: Metric) -> Option<u64> {
    let mut reading = Reading::default();
    source.read(&mut reading);
    reading.bytes(metric)
}

/// Returns the number of running and runnable processes, averaged over the last minute; `None` if the
/// system does not report it.
pub fn load_average() -> Option<f64> {
    let line = std::fs::read_to_string("/proc/loadavg").ok()?;
    line.split_whitespace().next()?.parse().ok()
}
