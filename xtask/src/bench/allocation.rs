//! The report of the suite `allocation`, as text for a terminal.

use std::fmt::Write as _;

use bench_report::Spread;
use bench_report::allocation::{Replay, Report, Speech, Trace};

use super::display::{mib, number, spread};
use crate::table;

const REPLAY: [&str; 9] = [
    "replay",
    "first pass ms",
    "pass ms (min - max)",
    "first faults",
    "faults",
    "peak MiB",
    "per live byte",
    "idle MiB",
    "trimmed MiB",
];

const SPEECH: [&str; 6] = [
    "speech",
    "model",
    "threads",
    "x real time (min - max)",
    "faults per frame",
    "peak MiB",
];

/// Formats each trace with its replays, then speech on each allocator.
pub(super) fn text(report: &Report) -> String {
    let load = report.load_average;
    let mut text = format!(
        "{} cores, load average {} before and {} after\n\n",
        report.cores,
        number(load.before, 2),
        number(load.after, 2),
    );
    for trace in &report.traces {
        text.push_str(&recording(trace));
        text.push_str(&table::format(REPLAY, trace.replays.iter().map(replay_row)));
        text.push('\n');
    }
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "The replay writes a byte every {} bytes and at the end of each block. MiB are RSS beyond that of \
         the idle replaying process: peak, after all blocks are freed (idle), and after the allocator was \
         trimmed.\n",
        report.touch_stride_bytes,
    );
    text.push_str(&table::format(SPEECH, report.speech.iter().map(speech_row)));
    text
}

fn recording(trace: &Trace) -> String {
    let summary = &trace.summary;
    let mib = |bytes: u64, decimals| mib(Some(bytes as f64), decimals);
    format!(
        "{:.1} s of speech by {} at {} threads, {} frames: {} threads make {} requests for {} blocks \
         with {} MiB. {} blocks have 64 KiB or more, with {} MiB together. The peak of live blocks is {} \
         MiB; {} blocks are freed by another thread. The trace is replayed by {} threads, {} times in each \
         of {} processes, after a block of {} MiB is allocated and freed as before the recording.\n",
        trace.audio_seconds,
        trace.model,
        trace.threads,
        trace.frames,
        summary.threads,
        summary.requests,
        summary.blocks,
        mib(summary.bytes, 0),
        summary.large_blocks,
        mib(summary.large_bytes, 0),
        mib(summary.peak_live_bytes, 1),
        summary.freed_by_other_threads,
        summary.replaying_threads,
        trace.passes,
        trace.processes,
        mib(summary.largest_freed_before_bytes, 1),
    )
}

fn median(spread: Option<Spread>) -> Option<f64> {
    spread.map(|spread| spread.median)
}

fn replay_row(replay: &Replay) -> [String; REPLAY.len()] {
    [
        replay.allocator.clone(),
        number(median(replay.first_pass_ms), 1),
        spread(replay.pass_ms),
        number(median(replay.first_pass_minor_faults), 0),
        number(median(replay.pass_minor_faults), 0),
        mib(median(replay.peak_rss_bytes), 1),
        number(median(replay.peak_rss_per_live_byte), 2),
        mib(median(replay.idle_rss_bytes), 1),
        mib(median(replay.trimmed_rss_bytes), 1),
    ]
}

fn speech_row(speech: &Speech) -> [String; SPEECH.len()] {
    [
        speech.allocator.clone(),
        speech.model.clone(),
        speech.threads.to_string(),
        spread(speech.times_real_time),
        number(median(speech.minor_faults_per_frame), 2),
        mib(median(speech.peak_rss_bytes), 0),
    ]
}

#[cfg(test)]
mod tests {
    use bench_report::LoadAverage;
    use bench_report::allocation::TraceSummary;

    use super::*;

    fn spread(median: f64) -> Option<Spread> {
        Some(Spread {
            median,
            min: 1.0,
            max: 9.0,
            samples: 5,
        })
    }

    #[test]
    fn prints_a_row_for_each_replay_and_speech_with_dashes_for_missing_values() {
        let report = Report {
            cores: 2,
            load_average: LoadAverage::default(),
            touch_stride_bytes: 4096,
            traces: vec![Trace {
                model: "small".to_owned(),
                threads: 2,
                audio_seconds: 16.4,
                frames: 410,
                summary: TraceSummary {
                    large_blocks: 7,
                    large_bytes: 3 << 20,
                    ..TraceSummary::default()
                },
                processes: 3,
                passes: 5,
                replays: vec![Replay {
                    allocator: "theirs".to_owned(),
                    first_pass_ms: None,
                    pass_ms: spread(2.5),
                    first_pass_minor_faults: None,
                    pass_minor_faults: None,
                    peak_rss_bytes: spread(1_572_864.0),
                    idle_rss_bytes: None,
                    trimmed_rss_bytes: None,
                    peak_rss_per_live_byte: None,
                }],
            }],
            speech: vec![Speech {
                model: "small".to_owned(),
                threads: 2,
                allocator: "ours".to_owned(),
                processes: 3,
                times_real_time: spread(8.0),
                minor_faults_per_frame: spread(0.5),
                peak_rss_bytes: None,
            }],
        };
        let text = text(&report);
        assert!(text.contains("16.4 s of speech by small"), "{text}");
        assert!(
            text.contains("7 blocks have 64 KiB or more, with 3 MiB"),
            "{text}"
        );
        let cells = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let line = line.unwrap_or_else(|| panic!("no line {name}: {text}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(cells("theirs"), "theirs - 2.50 (1.00 - 9.00) - - 1.5 - - -");
        assert_eq!(cells("ours"), "ours small 2 8.00 (1.00 - 9.00) 0.50 -");
    }
}
