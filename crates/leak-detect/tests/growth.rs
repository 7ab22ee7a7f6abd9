//! Verdicts on generated series and on several kinds of sources.

use std::cell::Cell;

use leak_detect::{GrowthProbe, Verdict};

const ITERATIONS: u32 = 400;
const AMPLITUDE: f64 = 64.0 * 1024.0;

/// xorshift64*, between 0 and 1.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Returns the verdict on a counter that rises from -64 KiB to +64 KiB and falls back, in 4 to 64
/// iterations with a variation of 50 %, and leaks `leak` bytes per iteration.
fn sawtooth(seed: u64, leak: f64) -> Verdict {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mean = 4.0 + 60.0 * random.next();
    let (mut period, mut phase) = (mean, random.next());
    let bytes = Cell::new(0);
    let verdicts = GrowthProbe::new()
        .source("sawtooth", || bytes.get())
        .run(0, ITERATIONS, |i| {
            phase += 1.0 / period;
            if phase >= 1.0 {
                phase -= 1.0;
                period = mean * (0.5 + random.next());
            }
            let tooth = AMPLITUDE * (2.0 * phase - 1.0);
            bytes.set((1e9 + tooth + leak * f64::from(i)) as u64);
        });
    verdicts[0].verdict
}

/// Returns the number of verdicts other than `expected` among 1000 series with a leak of `leak` bytes per
/// iteration.
fn wrong(leak: f64, expected: Verdict) -> usize {
    (1..=1000)
        .filter(|&seed| sawtooth(seed, leak) != expected)
        .count()
}

// Two tests, so that they run in parallel.
#[test]
fn sawtooth_of_64_kib_without_a_leak_is_clean() {
    let wrong = wrong(0.0, Verdict::Clean);
    assert!(wrong <= 10, "{wrong} of 1000");
}

#[test]
fn leak_of_1_kib_under_a_sawtooth_of_64_kib_is_growth() {
    let wrong = wrong(1024.0, Verdict::Growing);
    assert!(wrong <= 10, "{wrong} of 1000");
}

#[test]
fn each_source_has_its_own_verdict() {
    let iteration = Cell::new(0u64);
    let verdicts = GrowthProbe::new()
        .source("flat", || 1 << 40)
        .source("leaking", || iteration.get() * 16)
        .source("shrinking", || 1_000_000 - iteration.get() * 4096)
        .source("erratic", || (iteration.get() * 7919 % 13) << 30)
        .run(3, 60, |i| iteration.set(u64::from(i)));
    let seen: Vec<_> = verdicts
        .iter()
        .map(|growth| (growth.source.as_str(), growth.verdict))
        .collect();
    assert_eq!(
        seen,
        [
            ("flat", Verdict::Clean),
            ("leaking", Verdict::Growing),
            ("shrinking", Verdict::Clean),
            ("erratic", Verdict::Inconclusive),
        ]
    );
    assert!(verdicts[3].slope.unwrap().half_width() > verdicts[3].smallest_leak);
}

#[test]
fn larger_smallest_leak_accepts_more_variation() {
    let judge = |smallest_leak: f64| {
        let iteration = Cell::new(0u64);
        GrowthProbe::new()
            .source("erratic", || (iteration.get() * 7919 % 13) << 10)
            .smallest_leak(smallest_leak)
            .run(0, 30, |i| iteration.set(u64::from(i)))[0]
            .verdict
    };
    assert_eq!(judge(1.0), Verdict::Inconclusive);
    assert_eq!(judge(1024.0), Verdict::Clean);
}

#[test]
fn fewer_than_ten_readings_are_inconclusive() {
    let verdicts = GrowthProbe::new().source("flat", || 5).run(100, 9, |_| ());
    assert_eq!(
        (verdicts[0].verdict, verdicts[0].slope),
        (Verdict::Inconclusive, None)
    );
}

#[test]
fn work_receives_the_iteration_number() {
    let mut seen = Vec::new();
    GrowthProbe::new().run(2, 3, |i| seen.push(i));
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}
