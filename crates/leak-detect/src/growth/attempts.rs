//! Growth of a counter of the whole process, in spite of other threads.
//!
//! Readings of the process include what other threads have allocated at that moment. That memory is
//! bounded if their work is, and it never lowers a reading below what the repeated work has leaked. So
//! the lowest of many readings is a robust estimate. Work that started meanwhile, such as another test
//! that fills a cache, looks like growth until it ends. A leak of the repeated work remains, so it appears
//! in every attempt.

use std::thread;
use std::time::{Duration, Instant};

use super::series::Series;
use super::{DEFAULT_SMALLEST_LEAK, Growth, Verdict, judge};

/// Time that the second and later attempts spend on readings. Work of other threads that ends within the
/// sum of all but the last, 1.26 s, is not reported. With 100 iterations, each reading of the last two
/// attempts is the lowest within 10 ms.
const READING_TIMES: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(1000),
    Duration::from_millis(1000),
];

/// Pause between readings of the same iteration, in which other threads run.
const READING_PAUSE: Duration = Duration::from_micros(100);

/// Runs `work` `warmup` times, and then attempts of `iterations` times until one is clean. Returns the
/// growth in the last attempt.
pub(crate) fn growth_in_every_attempt(
    bytes: fn() -> u64,
    warmup: u32,
    iterations: u32,
    mut work: impl FnMut(u32),
) -> Growth {
    let mut iteration = 0u32;
    let mut run = || {
        work(iteration);
        iteration = iteration.wrapping_add(1);
    };
    (0..warmup).for_each(|_| run());

    let mut attempt = |reading_time: Duration| {
        let (mut means, mut minima) = (Series::means(), Series::minima());
        for _ in 0..iterations {
            run();
            let reading = lowest(bytes, reading_time / iterations);
            means.push(reading);
            minima.push(reading);
        }
        let judge = |series| judge("live heap", series, DEFAULT_SMALLEST_LEAK);
        let (all, floor) = (judge(&means), judge(&minima));
        match (all.verdict, floor.verdict) {
            (Verdict::Growing, Verdict::Clean) => floor,
            (Verdict::Inconclusive, Verdict::Clean | Verdict::Growing) => floor,
            _ => all,
        }
    };
    let mut growth = attempt(Duration::ZERO);
    for reading_time in READING_TIMES {
        if growth.verdict == Verdict::Clean || growth.slope.is_none() {
            break;
        }
        growth = attempt(reading_time);
    }
    growth
}

/// Returns the lowest reading within `time`.
fn lowest(bytes: fn() -> u64, time: Duration) -> u64 {
    let start = Instant::now();
    let mut lowest = bytes();
    while let Some(left) = time.checked_sub(start.elapsed()) {
        thread::sleep(READING_PAUSE.min(left));
        // The signed difference, since the counter may wrap around.
        let reading = bytes();
        if (reading.wrapping_sub(lowest) as i64) < 0 {
            lowest = reading;
        }
    }
    lowest
}
