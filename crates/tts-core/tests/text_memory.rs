//! Memory and time of preparing and cutting odd texts.
//!
//! A test binary of its own, because it counts all bytes of the process.

mod support;

use std::time::{Duration, Instant};

use tensor_pool::{PeakWindow, PoolAllocator};
use tts_core::text::CUT_AT_ONCE_BYTES;
use tts_core::{GenerateOptions, Model};

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// A bound exceeds the highest peak of all texts by at most this much, or 5 %.
const LOOSENESS: u64 = 1 << 20;

/// Bytes of the long texts.
const LONG: usize = 2 << 20;

/// Time until the first segment of a long text is cut, on a busy machine.
const FIRST_SEGMENT: Duration = Duration::from_secs(2);

/// Texts that are repeated: ordinary ones, and ones that could make a buffer grow.
const UNITS: [&str; 17] = [
    "It costs 3.14 dollars, or 2.50 at night! ",
    "the quick brown fox ",
    "Hello world; ",
    "a,",
    "a. ",
    "a",
    "A1b2C3d4",
    "internationalization",
    "\u{200d}",
    "\u{200b}",
    " ",
    "\n",
    ".",
    "\u{301}",
    "\u{1f600}",
    // Eighteen characters after normalization.
    "\u{fdfa}",
    "-) ",
];

fn text(unit: &str, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 8);
    text.push_str("Hi ");
    while text.len() + unit.len() <= bytes {
        text.push_str(unit);
    }
    text.push_str(" hi");
    text
}

struct Measured {
    /// Bytes at the peak of preparing.
    preparing: u64,
    /// Bytes at the peak of cutting the first segments.
    cutting: u64,
    preparing_bound: u64,
    cutting_bound: u64,
}

fn live() -> u64 {
    ALLOCATOR.stats().live_bytes
}

/// Bytes by which a measured peak can exceed the true one.
fn slack() -> u64 {
    ALLOCATOR.stats().peak_slack_bytes
}

fn measure(model: &Model, unit: &str, bytes: usize, options: &GenerateOptions) -> Measured {
    let text = text(unit, bytes);
    let before = live();
    let window = PeakWindow::new();
    let prepared = model
        .prepare(text.as_str(), options)
        .expect("there are words");
    let preparing = window.peak_bytes().expect("it is installed") - before;
    drop(window);
    let preparing_bound = model.preparing_bytes(text.len(), options);
    let held = live() - before;
    // What the text holds is known exactly, but for the blocks' headers of shared values.
    assert!(
        prepared.size_bytes().abs_diff(held) < 1024,
        "{unit:?}: {held}"
    );
    assert!(
        preparing <= preparing_bound + slack(),
        "{unit:?}: {preparing}"
    );

    let before = live();
    let window = PeakWindow::new();
    let start = Instant::now();
    let mut segments = prepared.segments().expect("the tokenizer works");
    let first = segments.next().expect("a segment").expect("it is cut");
    assert!(start.elapsed() < FIRST_SEGMENT, "{unit:?}");
    let largest = prepared.largest_segment();
    let mut largest_found = first.size();
    for segment in segments.take(300) {
        let size = segment.expect("it is cut").size();
        if size.positions() > largest_found.positions() {
            largest_found = size;
        }
    }
    let cutting = window.peak_bytes().expect("it is installed") - before;
    assert!(largest_found.positions() <= largest.positions(), "{unit:?}");
    if prepared.segment_count().is_none() {
        assert!(
            cutting <= prepared.cutting_bytes() + slack(),
            "{unit:?}: {cutting}"
        );
    }
    Measured {
        preparing,
        cutting,
        preparing_bound,
        cutting_bound: prepared.cutting_bytes(),
    }
}

#[test]
fn memory_of_a_text_is_bounded_whatever_its_characters() {
    assert!(ALLOCATOR.install());
    for (name, all_max_tokens) in [("lsd", &[50, 1, 2000][..]), ("small_pointwise", &[50])] {
        let (model, voice) = support::model(name);
        // Starts all threads, which allocate.
        let request = support::request(&model, &voice, "Hi.", &GenerateOptions::default());
        model.generate(request).expect("speech is generated");
        for &max_tokens in all_max_tokens {
            let options = GenerateOptions::default().with_max_tokens(max_tokens);
            for bytes in [CUT_AT_ONCE_BYTES - 16, LONG] {
                let measured = UNITS.map(|unit| measure(&model, unit, bytes, &options));
                let worst = |bytes: fn(&Measured) -> u64| measured.iter().map(bytes).max();
                let cases = [
                    (
                        "preparing",
                        worst(|it| it.preparing),
                        measured[0].preparing_bound,
                    ),
                    ("cutting", worst(|it| it.cutting), measured[0].cutting_bound),
                ];
                for (what, worst, bound) in cases {
                    let worst = worst.expect("there are texts");
                    println!(
                        "{name}, {max_tokens} tokens, {bytes} bytes: {what} {worst} of {bound}"
                    );
                    if max_tokens == 50 && bound > 0 {
                        assert!(
                            bound - slack() <= worst + LOOSENESS.max(worst / 20),
                            "{what}"
                        );
                    }
                }
            }
        }
    }
}
