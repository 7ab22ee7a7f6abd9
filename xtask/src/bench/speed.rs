//! The report of the suite `speed`, as text for a terminal.

use std::fmt::Write as _;

use bench_report::Spread;
use bench_report::speed::{Case, Reference, Report};

use super::display::{mib, number, spread};
use crate::table;

const HEADER: [&str; 10] = [
    "model",
    "threads",
    "x real time (min - max)",
    "of limit",
    "first audio ms",
    "frame ms",
    "FlowLM ms",
    "Mimi ms",
    "load ms",
    "peak MiB",
];

/// Formats the limits of the machine and a row for each case.
pub(super) fn text(report: &Report) -> String {
    let mut text = machine(report);
    let rows = report.cases.iter().map(case_row);
    let reference = report.reference.iter().map(reference_row);
    text.push_str(&table::format(HEADER, rows.chain(reference)));
    text.push_str(
        "FlowLM ms and Mimi ms are the two shares of a frame; with two threads they overlap.\n\
         The limit of a frame is the time to read FlowLM's weights once from memory and to compute \
         Mimi's products. A model that fits into the caches can exceed it.\n",
    );
    text
}

fn machine(report: &Report) -> String {
    let load = report.load_average;
    let mut text = format!(
        "{} cores, load average {} before and {} after\n",
        report.cores,
        number(load.before, 2),
        number(load.after, 2),
    );
    for limits in &report.machine {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} threads: memory {:.1} GB/s, f32 matrix products {:.0} GFLOP/s",
            limits.threads, limits.gigabytes_per_second, limits.gflop_per_second,
        );
    }
    for case in &report.cases {
        let limit = &case.limit;
        let _ = writeln!(
            text,
            "limit of {} at {} threads: {:.1} MB and {:.0} MFLOP per frame, {:.2} ms, {:.1} x real time",
            case.model,
            case.threads,
            limit.flow_lm_bytes as f64 * 1e-6,
            limit.mimi_flops as f64 * 1e-6,
            limit.frame_ms,
            limit.times_real_time,
        );
    }
    text.push('\n');
    text
}

fn median(spread: Option<Spread>, decimals: usize) -> String {
    number(spread.map(|spread| spread.median), decimals)
}

fn case_row(case: &Case) -> [String; HEADER.len()] {
    let of_limit = case
        .times_real_time
        .map(|speed| 100.0 * speed.median / case.limit.times_real_time);
    [
        case.model.clone(),
        case.threads.to_string(),
        spread(case.times_real_time),
        of_limit.map_or_else(|| number(None, 0), |percent| format!("{percent:.0} %")),
        median(case.first_audio_ms, 1),
        median(case.frame_ms, 2),
        median(case.flow_lm_frame_ms, 2),
        median(case.mimi_frame_ms, 2),
        median(case.load_ms, 0),
        mib(case.peak_rss_bytes.map(|bytes| bytes as f64), 0),
    ]
}

fn reference_row(reference: &Reference) -> [String; HEADER.len()] {
    let missing = || number(None, 0);
    [
        format!("{}, Python", reference.model),
        "own".to_owned(),
        spread(reference.times_real_time),
        missing(),
        median(reference.first_audio_ms, 1),
        missing(),
        missing(),
        missing(),
        median(reference.load_ms, 0),
        mib(reference.peak_rss_bytes.map(|bytes| bytes as f64), 0),
    ]
}

#[cfg(test)]
mod tests {
    use bench_report::LoadAverage;
    use bench_report::speed::{FrameLimit, Machine};

    use super::*;

    fn report() -> Report {
        let times_real_time = Some(Spread {
            median: 3.0,
            min: 2.5,
            max: 3.25,
            samples: 10,
        });
        Report {
            cores: 2,
            load_average: LoadAverage {
                before: Some(0.25),
                after: None,
            },
            machine: vec![Machine {
                threads: 2,
                gigabytes_per_second: 29.04,
                gflop_per_second: 228.4,
            }],
            cases: vec![Case {
                model: "small".to_owned(),
                threads: 2,
                config: String::new(),
                voice: String::new(),
                text: String::new(),
                short_text: String::new(),
                frames: 100,
                audio_seconds: 4.0,
                times_real_time,
                frame_ms: None,
                flow_lm_frame_ms: None,
                mimi_frame_ms: None,
                first_audio_ms: None,
                load_ms: None,
                peak_rss_bytes: Some(3 << 20),
                limit: FrameLimit {
                    flow_lm_bytes: 1_500_000,
                    mimi_flops: 7_000_000,
                    frame_ms: 1.0,
                    times_real_time: 6.0,
                },
            }],
            reference: vec![Reference {
                model: "large".to_owned(),
                audio_seconds: 4.0,
                times_real_time,
                first_audio_ms: None,
                import_ms: 900.0,
                load_ms: None,
                peak_rss_bytes: None,
            }],
        }
    }

    fn cells<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
        let line = text.lines().find(|line| line.starts_with(start));
        line.expect(start).split_whitespace().collect()
    }

    #[test]
    fn prints_machine_limits_and_a_row_for_each_case() {
        let text = text(&report());
        assert!(
            text.contains("load average 0.25 before and - after"),
            "{text}"
        );
        assert!(
            text.contains("memory 29.0 GB/s, f32 matrix products 228 GFLOP/s"),
            "{text}"
        );
        assert!(text.contains("1.5 MB and 7 MFLOP per frame"), "{text}");
        let expected = "small 2 3.00 (2.50 - 3.25) 50 % - - - - - 3";
        assert_eq!(
            cells(&text, "small"),
            expected.split(' ').collect::<Vec<_>>()
        );
    }

    #[test]
    fn prints_a_row_for_the_python_package() {
        let expected = "large, Python own 3.00 (2.50 - 3.25) - - - - - - -";
        let text = text(&report());
        assert_eq!(
            cells(&text, "large"),
            expected.split(' ').collect::<Vec<_>>()
        );
    }
}
